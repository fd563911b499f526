"""PaddleHub Serving, 2.x and 1.x."""
