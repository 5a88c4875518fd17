use clap::CommandFactory as _;

use super::*;

fn without_variable(command: &clap::Command) -> Vec<String> {
    let missing = command
        .get_opts()
        .filter(|option| option.get_env().is_none())
        .map(|option| format!("{} --{}", command.get_name(), option.get_long().unwrap_or_default()));
    missing.chain(command.get_subcommands().flat_map(without_variable)).collect()
}

#[test]
fn every_option_has_an_environment_variable() {
    assert_eq!(without_variable(&Cli::command()), Vec::<String>::new());
}
