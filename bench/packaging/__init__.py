"""A chosen candidate as an MLflow model: fitted, packed with all that it stands on, opened again and served."""
