"""Where images come from: decoding, sources, the sampler and the data set of views."""
