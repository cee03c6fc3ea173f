"""Options from a file, from the environment and from the command line, and which of them counts.

The command line beats the environment, which beats the file, which beats the default.  An option
is replaced as a whole: a list given on the command line does not grow by the file's.

Files are INI, as in Loads 1, or TOML, which their suffix decides::

    [loads]                                 # loads.ini
    fqn = shop.test_cart.TestCart.test_buy
    users = 10:20:30
    include-file = *.json
                   data/
    token = 1234                            # no option: self.config["token"] in the test

    fqn = "shop.test_cart.TestCart.test_buy"    # loads.toml: as here, or below [loads];
    include-file = ["*.json", "data/"]          # pyproject.toml: below [tool.loads]

Names may be spelled with dashes or underscores.  In INI, ``${NAME}`` is an environment variable,
``${HERE}`` the directory of the file, and sections called as in ``[observer-irc]`` or
``[output-json]`` hold the options of that name.  Other sections are other programs' business.
A key that is no option belongs to the test.  There it is a text: a TOML value is what ``str()``
makes of it (``true`` is ``"True"``), and a list is joined by commas.
"""

from loads.config.files import ConfigFile, locate_file, read_file
from loads.config.settings import Configuration, Option, Setting, Source, Value, configure

__all__ = [
    "ConfigFile",
    "Configuration",
    "Option",
    "Setting",
    "Source",
    "Value",
    "configure",
    "locate_file",
    "read_file",
]
