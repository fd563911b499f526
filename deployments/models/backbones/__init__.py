"""Networks that turn pictures into feature maps, shared by several architectures."""
