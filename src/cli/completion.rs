//! Completions of a command line for bash, zsh and fish, from the tables that `--help` shows.
//!
//! All three offer the commands first, then the options of the command, and files where a FILE or DIR is
//! wanted.

use std::fmt::Write as _;

use super::option::{Kind, Spec, Word};

/// For bash's complete.
pub fn bash(specs: &[&Spec]) -> String {
    let names: Vec<&str> = specs.iter().map(|spec| spec.name).collect();
    let mut text = format!(
        "# Made by `crosswire man`.\n_crosswire() \
            {{\n    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}} words=\n    \
         if [ \"$COMP_CWORD\" -eq 1 ]; then\n        words=\"{} --help --version\"\n    else\n        case \
         ${{COMP_WORDS[1]}} in\n",
        names.join(" ")
    );
    for spec in specs {
        let words: Vec<&str> = shown_options(spec).map(|word| word.name).chain(["--help"]).collect();
        let _ = writeln!(text, "        {}) words=\"{}\" ;;", spec.name, words.join(" "));
    }
    let file_options =
        specs.iter().flat_map(|spec| spec.words).filter(|word| word.kind == Kind::Option && is_file(word));
    let mut file_options: Vec<&str> = file_options.map(|word| word.name).collect();
    file_options.sort_unstable();
    file_options.dedup();
    let _ = write!(
        text,
        "        esac\n    fi\n    case $before in\n        {}) COMPREPLY=($(compgen -f -- \"$word\")) \
            ;;\n        \
         *) COMPREPLY=($(compgen -W \"$words\" -- \"$word\")) ;;\n    esac\n}}\ncomplete -o default -F \
         _crosswire crosswire\n",
        file_options.join(" | ")
    );
    text
}

/// For zsh's compinit, as the file `_crosswire` of its `fpath`.
pub fn zsh(specs: &[&Spec]) -> String {
    let mut text = "#compdef crosswire\n# Made by `crosswire man`.\nlocal -a commands\n\
        commands=(\n"
        .to_owned();
    for spec in specs {
        let _ = writeln!(text, "    '{}:{}'", spec.name, zsh_escaped(spec.about));
    }
    text.push_str(
        ")\nif (( CURRENT == 2 )); then\n    _describe -t commands command commands\n    \
         compadd -- --help --version\n    return\nfi\nshift words\n(( CURRENT-- ))\ncase ${words[1]} in\n",
    );
    for spec in specs {
        let _ = write!(text, "{})\n    _arguments", spec.name);
        for word in spec.words.iter().filter(|word| word.kind != Kind::Hidden) {
            let about = zsh_escaped(word.help);
            let what = if is_file(word) { "_files" } else { " " };
            let _ = match word.kind {
                Kind::Flag => write!(text, " \\\n        '{}[{about}]'", word.name),
                Kind::Option | Kind::Hidden => {
                    write!(text, " \\\n        '{}=[{about}]:{}:{what}'", word.name, word.value)
                }
                Kind::Operand => {
                    let colons = if word.is_optional { "::" } else { ":" };
                    write!(text, " \\\n        '{colons}{}:{what}'", zsh_escaped(word.value))
                }
            };
        }
        text.push_str(" \\\n        '--help[Prints help information]'\n    ;;\n");
    }
    text.push_str("esac\n");
    text
}

/// For fish, as the file `crosswire.fish` of its `completions`.
pub fn fish(specs: &[&Spec]) -> String {
    const FIRST: &str = "complete -c crosswire -n __fish_use_subcommand";
    let mut text = "# Made by `crosswire man`.\ncomplete -c crosswire -f\n".to_owned();
    for spec in specs {
        let _ = writeln!(text, "{FIRST} -a {} -d '{}'", spec.name, fish_escaped(spec.about));
    }
    let _ = writeln!(text, "{FIRST} -l version -d 'Prints version information'");
    let _ = writeln!(text, "complete -c crosswire -l help -d 'Prints help information'");
    for spec in specs {
        for word in spec.words.iter().filter(|word| word.kind != Kind::Hidden) {
            let wants = match word.kind {
                Kind::Flag => "",
                Kind::Operand if is_file(word) => " -F",
                Kind::Operand => continue,
                Kind::Option | Kind::Hidden if is_file(word) => " -r -F",
                Kind::Option | Kind::Hidden => " -x",
            };
            let name = match word.name.strip_prefix("--") {
                Some(long) => format!(" -l {long}"),
                None => word.name.strip_prefix('-').map_or(String::new(), |short| format!(" -s {short}")),
            };
            let about = fish_escaped(word.help);
            let _ = writeln!(
                text,
                "complete -c crosswire -n '__fish_seen_subcommand_from {}'{name}{wants} -d '{about}'",
                spec.name
            );
        }
    }
    text
}

fn shown_options(spec: &Spec) -> impl Iterator<Item = &'static Word> {
    spec.words.iter().filter(|word| matches!(word.kind, Kind::Flag | Kind::Option))
}

/// Whether its value is the name of a file or directory.
fn is_file(word: &Word) -> bool {
    word.value.split(['-', '.']).any(|part| matches!(part, "FILE" | "DIR" | "DEVICE"))
}

/// Text within single quotes and a field of `_arguments` or `_describe`.
fn zsh_escaped(text: &str) -> String {
    let mut escaped = String::new();
    for letter in text.trim().chars() {
        match letter {
            '\'' => escaped.push_str("'\\''"),
            '[' | ']' | ':' | '\\' => escaped.extend(['\\', letter]),
            _ => escaped.push(letter),
        }
    }
    escaped
}

/// Text within single quotes.
fn fish_escaped(text: &str) -> String {
    text.trim().replace('\\', "\\\\").replace('\'', "\\'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_within_its_quotes() {
        assert_eq!(zsh_escaped(" it's [default: 1]"), "it'\\''s \\[default\\: 1\\]");
        assert_eq!(fish_escaped(" it's a \\"), "it\\'s a \\\\");
    }
}
