"""The Open Inference Protocol over gRPC: each call is a request to the same application."""
