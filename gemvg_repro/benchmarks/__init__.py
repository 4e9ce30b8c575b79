"""Official benchmark files to samples; predictions to the official scores."""
