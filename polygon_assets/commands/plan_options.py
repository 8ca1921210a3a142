"""What every `plan` and `apply` shares: the exit code of a difference, and `--yes`.

Add an option of all such commands here; how a plan is shown belongs to the command.
"""

import click

EXIT_DIFFERENT = 2
"""As other tools that plan: 0 is no difference, 1 an error."""

yes_option = click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
