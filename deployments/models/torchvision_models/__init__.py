"""torchvision's detectors and Mask R-CNN."""
