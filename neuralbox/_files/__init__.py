"""Result files: fetched from the storage whole, or not at all."""
