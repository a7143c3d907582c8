#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the README's examples, as they stand there, in the lab.

readme_test.py REPOSITORY BUILD, with the lab that HUSK_LAB_SESSION names. Every ```sh block of
README.md is run by one shell in the order of the page. A comment in front of a block says what
it must do:

    <!-- test: status=4 expect="hello from userspace" prompt="login:" input="poweroff" -->

Without one the block must end with status 0. `expect` is looked for in its output; `input` is
typed once `prompt` was printed.
"""
import pathlib
import re
import shlex
import subprocess
import sys

TIMEOUT = 600

BLOCK = re.compile(r"(?:<!-- test: (?P<rules>.*?) -->\s*)?^```sh\n(?P<code>.*?)^```", re.M | re.S)

# The page's folder as a newcomer has it: everything there, and new files can be made.
PRELUDE = """
mkdir -p /tmp/readme && cd /tmp/readme
ln -sfn {repository}/tools tools
ln -sfn {build} build
"""

# Blocks share one shell, because later ones use what earlier ones set.
EXAMPLE = """
echo '=== block {number}'
: > block.out
{{ {code}
}} > block.out 2>&1 < <({typist}) && status=0 || status=$?
cat block.out
[ "$status" = {status} ] || {{ echo "block {number}: status $status, expected {status}"; exit 1; }}
[[ "$(cat block.out)" = *{expect}* ]] || {{ echo "block {number}: no {label} in its output"; exit 1; }}
"""


# A person, who types when asked, and looks seldom: to start grep takes the guest's processor from it.
TYPIST = """
exec {{never}}<> <(:)
until grep -qF -- {prompt} block.out; do read -r -t 2 -u $never || true; done
echo {input}"""


def rules_of(text):
    rules = {"status": "0", "expect": "", "prompt": "", "input": ""}
    for word in shlex.split(text or ""):
        key, value = word.split("=", 1)
        if key not in rules:
            raise SystemExit(f"README.md: test rule \"{key}\" is not known")
        rules[key] = value
    return rules


def script(page, repository, build):
    parts = [PRELUDE.format(repository=shlex.quote(repository), build=shlex.quote(build))]
    for number, block in enumerate(BLOCK.finditer(page), 1):
        rules = rules_of(block["rules"])
        typist = TYPIST.format(prompt=shlex.quote(rules["prompt"]),
                               input=shlex.quote(rules["input"])) if rules["input"] else "true"
        parts.append(EXAMPLE.format(
            number=number, code=block["code"].rstrip(), status=rules["status"], typist=typist,
            expect=shlex.quote(rules["expect"]), label=rules["expect"].replace('"', "'")))
    parts.append(f"echo '=== {len(parts) - 1} blocks'")
    return "\n".join(parts), len(parts) - 2


def main():
    repository, build = sys.argv[1:]
    page = pathlib.Path(repository, "README.md").read_text(encoding="utf-8")
    text, count = script(page, repository, build)
    if count < 6:
        raise SystemExit(f"README.md has {count} examples; there should be at least 6 blocks")
    run = subprocess.run(
        [f"{repository}/tools/lab/exec", "--build", build,
         "--timeout", str(TIMEOUT), "--", "bash", "-c", text], check=False)
    sys.exit(run.returncode)


if __name__ == "__main__":
    main()
