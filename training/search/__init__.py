"""Search for hyper-parameters: spaces, the Gaussian process, acquisition functions, methods that ask and are told."""
