"""A candidate as graphs of ONNX Runtime or OpenVINO, which answer without bench and torch."""
