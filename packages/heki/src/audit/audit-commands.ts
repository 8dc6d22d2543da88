import type { Severity } from '@heki/audit';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { AUDIT_EXAMPLES, DIFF_EXAMPLES, EXPLAIN_EXAMPLES, WATCH_EXAMPLES } from '../help/examples.ts';
import type { CommandIo } from '../io.ts';
import { addHypervisorFlags } from '../machine-flags.ts';

/** What these commands share with the others. */
interface Shared {
  /** The argument of commands that take the kernel which comes with heki, where none is named. */
  readonly snapshot: readonly [name: string, description: string];
  readonly symbolsOption: () => Option;
  readonly addKernelFlags: (command: Command) => Command;
  readonly io: CommandIo;
  readonly finished: (exitCode: number) => void;
}

/** Adds `audit`, `diff`, `watch` and `explain` to the program. */
export function addAuditCommands(
  program: Command,
  { snapshot, symbolsOption, addKernelFlags, io, finished }: Shared,
): void {
  addKernelFlags(
    addHypervisorFlags(program.command('audit'))
      .summary('what is wrong with the memory permissions of a kernel')
      .description(
        'Looks at every frame of a kernel with all its mappings, and at its control registers: what can be written and executed through any pair of mappings, what was remapped, which protections are off; and what Heki would do.',
      )
      .argument(...snapshot)
      .addOption(
        new Option(
          '--fail-on <severity>',
          'exit with 1 for a finding that is this bad or worse (default: high)',
        ).choices(['info', 'low', 'medium', 'high', 'critical'] satisfies Severity[]),
      )
      .addOption(symbolsOption())
      .option(
        '--vmlinux <file>',
        "the kernel's image, with which its code and constants are compared: vmlinux, bzImage (vmlinuz), or a Debian package",
      )
      .option('--baseline <file>', 'findings that are known and accepted')
      .option('--update-baseline', 'write what is found to that file')
      .option('--no-heki', 'do not work out what Heki would do')
      .option('--redact', 'leave out addresses, the command line and names')
      .option('--sarif <file>', 'write SARIF 2.1.0, too')
      .option('--markdown <file>', 'write Markdown, too')
      .option('--html <file>', 'write one page with a map of memory, too, which opens from disk'),
  )
    .option('--json', 'print one JSON object')
    .addHelpText('after', AUDIT_EXAMPLES)
    .action(async (path: string | undefined, options) => {
      const { audit } = await import('../commands/audit.ts');
      finished(await audit(path, options, io));
    });

  program
    .command('diff')
    .argument('<BEFORE>', "a guest's memory, as for audit")
    .argument('<AFTER>', 'another, or the same guest later')
    .summary('what differs between two kernels, or two moments of one')
    .description(
      'Compares how two kernels map their memory: regions by the rights of their pages, the image by offsets, which KASLR does not move, findings of the audit, and of one boot single frames.',
    )
    .option('--redact', 'leave out addresses and names')
    .option('--json', 'print one JSON object')
    .addHelpText('after', DIFF_EXAMPLES)
    .action(async (before: string, after: string, options: { redact?: boolean; json?: boolean }) => {
      const { diff } = await import('../commands/diff.ts');
      finished(await diff(before, after, options, io));
    });

  program
    .command('watch')
    .argument('<SOURCE>', 'a guest that runs, qmp:PATH or gdb:HOST:PORT; or a file that is written anew')
    .summary('raise an alarm when what Heki would hold for good changes')
    .description(
      "Reads a guest's page tables and registers again and again, and compares them with those of the first moment: an alarm for frames of the text and the constants that get other rights, for their addresses when they lead elsewhere, and for findings of the audit at high or above.",
    )
    .option('--every <time>', 'how often: 500ms, 1s, 2m (default: 1s)', parseDuration)
    .option('--until-finding', 'end with the first alarm')
    .option('--json', 'print one JSON object a line')
    .addHelpText('after', WATCH_EXAMPLES)
    .action(async (source: string, options) => {
      const { watch } = await import('../commands/watch.ts');
      finished(await watch(source, options, io));
    });

  program
    .command('explain')
    .argument('[FINDING]', 'the id of a finding: heki/wx-alias (default: list all)')
    .summary('what a finding of the audit means')
    .description('What it is, what an attacker makes of it, how a sound kernel comes to it, and what to do.')
    .option('--json', 'print one JSON object')
    .addHelpText('after', EXPLAIN_EXAMPLES)
    .action(async (id: string | undefined, options: { json?: boolean }) => {
      const { explain } = await import('../commands/explain.ts');
      finished(await explain(id, options, io));
    });
}

const MILLISECONDS = { ms: 1, s: 1000, m: 60_000 } as const;

/** The milliseconds of `1s`. */
function parseDuration(text: string): number {
  const [, amount, unit] = /^(\d{1,6})(ms|s|m)$/.exec(text) ?? [];
  const time = Number(amount) * (MILLISECONDS[unit as keyof typeof MILLISECONDS] ?? Number.NaN);
  if (time >= 10 && time <= 86_400_000) return time;
  throw new InvalidArgumentError('Expected a time from 10ms to 1440m, as "500ms", "1s", "2m".');
}
