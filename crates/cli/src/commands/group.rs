//! How a group of commands, such as `kv`, runs the command that was given.

/// Implements `run` for the enum of a group, each variant of which is a command: it runs that
/// command.
macro_rules! run_given_command {
    ($group:ident: $($command:ident),+ $(,)?) => {
        impl $group {
            pub(super) async fn run(
                self,
                context: &mut $crate::context::CommandContext,
            ) -> $crate::error::CliResult {
                match self {
                    $(Self::$command(command) => command.run(context).await,)+
                }
            }
        }
    };
}

pub(super) use run_given_command;
