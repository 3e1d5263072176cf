"""Every setting, read once at start from the environment and an optional TOML file into frozen objects.

Names in the environment are the field names in upper case; the TOML file has the same names in lower case, and one table
`[connections.<name>]` for each further pair of a Chargebee site and a m3ter organisation. The environment wins over the
file. A name with `_FILE` appended in the environment names a file that holds the value.
"""

from connector.settings.connection import DEFAULT_CONNECTION, Connection
from connector.settings.installation import Settings
from connector.settings.reading import CONFIG_FILE, load
from connector.settings.together import RISING_TIMES
from connector.settings.values import LOCAL_HOSTS

__all__ = ["CONFIG_FILE", "DEFAULT_CONNECTION", "LOCAL_HOSTS", "RISING_TIMES", "Connection", "Settings", "load"]
