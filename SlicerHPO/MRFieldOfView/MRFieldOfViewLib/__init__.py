"""Parts of the panel of MR Field of View."""
