"""Result files: images, videos, audio and texts that the sandbox makes."""
