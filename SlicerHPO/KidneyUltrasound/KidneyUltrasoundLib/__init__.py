"""Parts of the panel of Kidney Ultrasound."""
