"""EnsembleTrainer: joins the trained members' Model artifacts into one model."""
