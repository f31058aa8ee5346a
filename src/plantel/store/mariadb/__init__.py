"""A store in MariaDB."""
