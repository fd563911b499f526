"""Networks from ONNX files: any architecture, in the field's own format for handing networks on."""
