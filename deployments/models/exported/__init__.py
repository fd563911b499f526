"""Programs of torch.export, in the slots of the networks that we have ourselves."""
