import type { Command } from 'commander';
import { bashCompletion } from '../completion/bash.ts';
import { commandWords, programOptions } from '../completion/command-words.ts';
import { fishCompletion } from '../completion/fish.ts';
import { zshCompletion } from '../completion/zsh.ts';
import { ExitCode } from '../failure.ts';
import type { CommandIo } from '../io.ts';

const SCRIPTS = { bash: bashCompletion, zsh: zshCompletion, fish: fishCompletion };

/** `heki completion SHELL`: the script that a shell reads to complete what is typed. It is made of the commands as they are. */
export async function completion(
  shell: keyof typeof SCRIPTS,
  program: Command,
  io: CommandIo,
): Promise<number> {
  // As bytes: a script is not text for people, and must not be parted into lines.
  await io.stdout.write(Buffer.from(SCRIPTS[shell](commandWords(program), programOptions(program))));
  return ExitCode.SUCCESS;
}
