"""One package a wire protocol, HTTP and gRPC alike, none of which imports another.

The modules beside them are what several tensor protocols share.
"""
