"""The training system: simulate, train, search, evaluate and deploy. It makes bundles; SlicerHPOLib runs them."""
