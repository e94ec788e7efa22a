"""Completion scripts for shells. They know all options and their choices; other words are completed as file names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .command_lines import all_lines
from .command_words import COMMANDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .command_lines import CommandLine, Option

_ALL_COMMANDS = " ".join(COMMANDS)


def script(shell: str) -> str:
    """The script for `bash`, `zsh` or `fish`."""
    return {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell]()


def _flags(line: CommandLine) -> str:
    return " ".join(flag for option in line.options for flag in option.flags)


def _quoted(text: str) -> str:
    """The text as one word of bash and zsh."""
    return "'" + text.replace("'", "'\\''") + "'"


# --- bash

_BASH = """\
# Completion of wf-transfer and wf-checksum for bash: eval "$(wf-transfer completion bash)"
_wf_complete() {{
    local line=$1 word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD - 1]}} known= at
    COMPREPLY=()
    # Readline takes --option=value for three words.
    if [[ $word == '=' ]]; then
        word=
    elif [[ $before == '=' ]]; then
        before=${{COMP_WORDS[COMP_CWORD - 2]}}
    fi
    for ((at = 1; at < COMP_CWORD; at++)); do
        [[ ${{COMP_WORDS[at]}} == -- ]] && return
    done
    case $before in
{values}
        *)
            case $word in
                -*)
                    case $line in
{flags}
                    esac
                    ;;
                *)
                    case $line in
{words}
                    esac
                    ;;
            esac
            ;;
    esac
    # Nothing known: the shell completes file names.
    [[ -n $known ]] && COMPREPLY=($(compgen -W "$known" -- "$word"))
}}
_wf_transfer() {{
    local line=wf-transfer
    if ((COMP_CWORD > 1)); then
        case ${{COMP_WORDS[1]}} in
            {commands}) line="wf-transfer ${{COMP_WORDS[1]}}" ;;
        esac
    fi
    _wf_complete "$line"
}}
_wf_checksum() {{
    _wf_complete wf-checksum
}}
complete -o default -F _wf_transfer wf-transfer
complete -o default -F _wf_checksum wf-checksum
"""


def _bash() -> str:
    lines = all_lines()
    return _BASH.format(
        values="\n".join(_bash_values(lines)),
        flags=_bash_cases((line.name, _flags(line)) for line in lines),
        words=_bash_cases(
            [
                ("wf-transfer", '$(((COMP_CWORD == 1)) && echo "' + _ALL_COMMANDS + '")'),
                *((line.name, " ".join(line.choices)) for line in lines if line.choices),
            ]
        ),
        commands=" | ".join(COMMANDS),
    )


def _bash_values(lines: tuple[CommandLine, ...]) -> Iterator[str]:
    """What comes behind options that take a value, in whichever command they are."""
    flags: dict[str, dict[str, None]] = {}
    for line in lines:
        for option in line.options:
            if option.value:
                flags.setdefault(" ".join(option.choices), {}).update(dict.fromkeys(option.flags))
    for known in sorted(flags, reverse=True):
        action = f"known={_quoted(known)} " if known else ""
        yield f"        {' | '.join(flags[known])}) {action};;"


def _bash_cases(cases: Iterator[tuple[str, str]] | list[tuple[str, str]]) -> str:
    indent = " " * 24
    return "\n".join(
        f"{indent}{_quoted(name)}) known={known if '$' in known else _quoted(known)} ;;"
        for name, known in cases
    )


# --- zsh

_ZSH = """\
#compdef wf-transfer wf-checksum
# Completion of wf-transfer and wf-checksum for zsh: source <(wf-transfer completion zsh), after compinit
_wf_complete() {{
    local line=$service
    if [[ $service == wf-transfer ]] && (( CURRENT > 2 )); then
        case $words[2] in
            {commands})
                line="wf-transfer $words[2]"
                shift words
                (( CURRENT-- ))
                ;;
        esac
    fi
    case $line in
{cases}
    esac
}}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _wf_complete "$@"
else
    compdef _wf_complete wf-transfer wf-checksum
fi
"""


def _zsh() -> str:
    return _ZSH.format(commands="|".join(COMMANDS), cases="\n".join(_zsh_case(line) for line in all_lines()))


def _zsh_case(line: CommandLine) -> str:
    specifications = [each for option in line.options for each in _zsh_option(option)]
    if line.name == "wf-transfer":
        specifications.append(f"1:command:({_ALL_COMMANDS})")
    elif line.choices:
        specifications.append(f"1:choice:({' '.join(line.choices)})")
    elif line.words:
        specifications.append("*:file:_files")
    indent = " " * 12
    arguments = "".join(f" \\\n{indent}    {_quoted(each)}" for each in specifications)
    return f"        {_quoted(line.name)})\n{indent}_arguments -s -S :{arguments}\n{indent};;"


def _zsh_option(option: Option) -> Iterator[str]:
    only_once = "*" if option.repeated else f"({' '.join(option.flags)})" if len(option.flags) > 1 else ""
    text = "".join(f"\\{letter}" if letter in "\\[]:" else letter for letter in option.help)
    value = ""
    if option.value:
        action = f"({' '.join(option.choices)})" if option.choices else "_files" if option.is_file else " "
        value = f":{option.value.replace(':', chr(92) + ':')}:{action}"
    for flag in option.flags:
        joint = "" if not option.value else "=" if flag.startswith("--") else "+"
        yield f"{only_once}{flag}{joint}[{text}]{value}"


# --- fish

_FISH = """\
# Completion of wf-transfer and wf-checksum for fish: wf-transfer completion fish | source
function __wf_transfer_is
    set -l given (commandline -opc)
    set -l word ''
    if test (count $given) -gt 1; and contains -- $given[2] {commands}
        set word $given[2]
    end
    test "$word" = "$argv[1]"
end
function __wf_transfer_begins
    test (count (commandline -opc)) -eq 1
end
{lines}
"""


def _fish() -> str:
    lines = [
        f"complete -c wf-transfer -n __wf_transfer_begins -a {word} -d {_fish_quoted(text)}"
        for word, text in COMMANDS.items()
    ]
    for line in all_lines():
        program, _, word = line.name.partition(" ")
        begin = f"complete -c {program}"
        if program == "wf-transfer":
            begin += f" -n {_fish_quoted(f'__wf_transfer_is {_fish_quoted(word)}')}"
        if line.choices:
            lines.append(f"{begin} -x -a {_fish_quoted(' '.join(line.choices))}")
        lines += [_fish_option(begin, option) for option in line.options]
    return _FISH.format(commands=_ALL_COMMANDS, lines="\n".join(lines))


def _fish_option(begin: str, option: Option) -> str:
    flags = [f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}" for flag in option.flags]
    value = ""
    if option.choices:
        value = f" -x -a {_fish_quoted(' '.join(option.choices))}"
    elif option.value:
        value = " -r -F" if option.is_file else " -x"
    return f"{begin} {' '.join(flags)}{value} -d {_fish_quoted(option.help)}"


def _fish_quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
