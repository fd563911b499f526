"""The strict check of YAML before it runs."""
