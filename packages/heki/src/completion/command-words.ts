import type { Argument, Command, Option } from 'commander';

/** An option as a shell completes it. */
export interface OptionWords {
  /** As they are typed: `-o`, `--output`. */
  readonly flags: readonly string[];
  readonly meaning: string;
  /** What may follow it: nothing, a file, one of some words, or a word of which nothing is known. */
  readonly value: 'none' | 'file' | 'word' | readonly string[];
}

/** A command as a shell completes it. */
export interface CommandWords {
  readonly name: string;
  readonly meaning: string;
  readonly options: readonly OptionWords[];
  /** What its arguments are: files, or one of some words. */
  readonly values: 'file' | readonly string[];
}

/** All that shells need to know of `program`. */
export function commandWords(program: Command): readonly CommandWords[] {
  return program.commands.map((command) => ({
    name: command.name(),
    meaning: command.summary(),
    options: [...withActions(command), HELP],
    values: valuesOf(program, command),
  }));
}

/** The options of a command, or those of all that it has under it: shells complete by the first word. */
function withActions(command: Command): OptionWords[] {
  const all = [command, ...visible(command)].flatMap(({ options }) => options.map(optionWords));
  return [...new Map(all.map((option) => [option.flags.join(), option])).values()];
}

function visible(command: Command): readonly Command[] {
  return command.createHelp().visibleCommands(command);
}

const HELP: OptionWords = { flags: ['-h', '--help'], meaning: 'show its help', value: 'none' };

/** The options that stand before a command. */
export function programOptions(program: Command): readonly OptionWords[] {
  return [...program.options.map(optionWords), HELP];
}

function optionWords(option: Option): OptionWords {
  const flags = [option.short, option.long].filter((flag) => typeof flag === 'string');
  return { flags, meaning: option.description, value: valueAfter(option) };
}

function valueAfter(option: Option): OptionWords['value'] {
  if (!option.required && !option.optional) return 'none';
  if (option.argChoices !== undefined) return option.argChoices;
  return /<file(\.\.\.)?>/.test(option.flags) ? 'file' : 'word';
}

function valuesOf(program: Command, command: Command): CommandWords['values'] {
  if (command.commands.length > 0) return visible(command).map((one) => one.name());
  const { registeredArguments } = command;
  const [first] = registeredArguments;
  if (first?.argChoices !== undefined) return first.argChoices;
  return first !== undefined && isCommandName(first) ? program.commands.map((one) => one.name()) : 'file';
}

/** `help COMMAND`. */
function isCommandName(argument: Argument): boolean {
  return argument.name() === 'command';
}
