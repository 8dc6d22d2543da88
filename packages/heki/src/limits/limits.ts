import { MACHINE_LIMITS } from '@heki/machine/limits';
import { SCENARIO_LIMITS } from '@heki/scenario/limits';
import { DUMP_LIMITS } from '@heki/vmcore/limits';
import { INPUT_KINDS } from '../input/input-kind.ts';
import { bytesText, number } from '../quantity.ts';
import { COMMAND_LIMITS } from './command-limits.ts';

/** How much of something a command takes. Beyond it ends with an error, where `what` says nothing else. */
export interface Limit {
  /** The commands that it concerns, by their names. */
  readonly commands: readonly string[];
  readonly what: string;
  readonly most: string;
  /** What real ones have, where that is known. */
  readonly usual?: string | undefined;
}

const OF_SNAPSHOTS = [
  'protect',
  'inspect',
  'audit',
  'diff',
  'watch',
  'walk',
  'translate',
  'extract',
  'symbols',
  'read',
  'find',
];
const WITH_TEXTS = [
  'protect',
  'audit',
  'walk',
  'translate',
  'extract',
  'symbols',
  'read',
  'find',
  'boot',
  'replay',
];
const MACHINES = ['boot', 'kunit'];

const seconds = (milliseconds: number): string => `${number(milliseconds / 1000)} seconds`;
const size = (bytes: number): string => bytesText(bytes).replace('.0 ', ' ');

/** @param usual what real ones have, where that is known */
function limit(commands: readonly string[], most: string, what: string, usual?: string): Limit {
  return { commands, most, what, usual };
}

/**
 * Every limit of what the command reads, by the heading under which docs/limits-of-input.md has it, with the figure that the code holds to:
 * that page and the help of each command are made of this.
 */
export const LIMITS: Readonly<Record<'files' | 'dumps' | 'contents', readonly Limit[]>> = {
  files: [
    limit(
      ['protect', 'audit', 'diff', 'extract'],
      size(INPUT_KINDS.memoryMap.mostBytes),
      '`--memory-map`, and `iomem` in the JSON beside a snapshot',
      "4 KiB; a large server's 200 KiB",
    ),
    limit(OF_SNAPSHOTS, size(INPUT_KINDS.sidecar.mostBytes), 'the JSON beside a snapshot', '5 KiB'),
    limit(['protect'], size(INPUT_KINDS.kernelConfig.mostBytes), '`--kernel-config`', '250 KiB'),
    limit(
      ['protect', 'audit', 'boot', 'backends', 'kunit', 'explore'],
      size(INPUT_KINDS.module.mostBytes),
      'an ES module of your own',
      '50 KiB',
    ),
    limit(
      ['protect', 'audit', 'boot', 'backends', 'kunit', 'explore'],
      seconds(COMMAND_LIMITS.moduleSilence),
      'that code of such a module runs without handing back (with HEKI_DEBUG none)',
      'below a second',
    ),
    limit(['explore'], size(INPUT_KINDS.stories.mostBytes), '`--replay`', '2 KiB'),
    limit(['inspect'], size(INPUT_KINDS.inspectedStory.mostBytes), '`--story`', '2 KiB'),
    limit(['explore'], size(INPUT_KINDS.search.mostBytes), '`--resume`', '30 MB for a million states'),
    limit(['audit'], size(INPUT_KINDS.baseline.mostBytes), '`--baseline`', '1 KiB'),
    limit(
      ['boot'],
      size(INPUT_KINDS.kernelSymbols.mostBytes),
      '`--kernel`: System.map, /proc/kallsyms, JSON with `symbols`',
      '4 to 12 MiB',
    ),
    limit(
      ['walk', 'translate', 'symbols', 'read', 'find'],
      size(INPUT_KINDS.kernelSymbols.mostBytes),
      '`--symbols`: System.map, /proc/kallsyms; a vmlinux may have as much as for `--vmlinux`',
      '4 to 12 MiB',
    ),
    limit(
      ['walk', 'translate', 'symbols', 'read', 'find'],
      size(INPUT_KINDS.kernelImage.mostBytes + 1),
      '`--vmlinux`: vmlinux, a bzImage, a Debian package',
      '10 to 100 MB; with debug information 1 GB',
    ),
    limit(
      ['walk', 'translate', 'symbols', 'read', 'find'],
      size(COMMAND_LIMITS.kernelBytes),
      'of it what is loaded; the rest is read over',
      '60 MB',
    ),
    limit(
      ['walk', 'translate', 'symbols', 'read', 'find'],
      number(COMMAND_LIMITS.packageInflation),
      `times their size that the files of a package unpack to, from ${size(COMMAND_LIMITS.packageBytes)} on`,
      'ten',
    ),
    limit(['read'], size(COMMAND_LIMITS.readBytes), 'LENGTH', '128 bytes'),
    limit(
      ['find'],
      number(COMMAND_LIMITS.foundRanges),
      'ranges that are listed; the others are counted',
      'a few hundred',
    ),
    limit(
      ['boot'],
      size(INPUT_KINDS.scenario.mostBytes),
      '`--scenario`, and each file that it includes',
      '1 KiB',
    ),
    limit(
      ['replay'],
      size(INPUT_KINDS.recording.mostBytes),
      'a recording',
      '20 MiB: a kernel with 139 modules, loaded and unloaded twice',
    ),
    limit(WITH_TEXTS, seconds(COMMAND_LIMITS.silence), 'silence of a named pipe that such a file is'),
    limit(WITH_TEXTS, seconds(COMMAND_LIMITS.inputSilence), 'silence of standard input, as `-` names it'),
  ],
  dumps: [
    limit(OF_SNAPSHOTS, size(DUMP_LIMITS.pipeBytes), 'a dump that comes through a pipe'),
    limit(OF_SNAPSHOTS, seconds(DUMP_LIMITS.namedPipeSilence), 'silence of a named pipe'),
    limit(OF_SNAPSHOTS, seconds(DUMP_LIMITS.inputSilence), 'silence of standard input'),
    limit(OF_SNAPSHOTS, seconds(DUMP_LIMITS.guestSilence), 'silence of a guest that runs (qmp:PATH)'),
    limit(OF_SNAPSHOTS, seconds(DUMP_LIMITS.guestAnswer), 'an answer of such a guest, however it comes'),
    limit(OF_SNAPSHOTS, seconds(DUMP_LIMITS.webSilence), 'silence of a web server'),
    limit(OF_SNAPSHOTS, seconds(DUMP_LIMITS.webAnswer), 'an answer of a web server, 8 MiB at most'),
    limit(
      OF_SNAPSHOTS,
      size(DUMP_LIMITS.webCacheBytes),
      'bytes of a file on a web server that are kept in memory; others are asked for again',
    ),
    limit(OF_SNAPSHOTS, size(DUMP_LIMITS.unpackedBytes), 'what a packed dump unpacks to'),
    limit(
      OF_SNAPSHOTS,
      number(DUMP_LIMITS.inflation),
      `times its size that a packed dump unpacks to, from ${size(DUMP_LIMITS.inflationCountsFrom)} on; only a bomb has more`,
    ),
    limit(
      OF_SNAPSHOTS,
      size(DUMP_LIMITS.unpackedBytesInMemory),
      'of it in memory; the rest is in a temporary file (TMPDIR)',
    ),
    limit(OF_SNAPSHOTS, number(DUMP_LIMITS.cachedPages), 'pages kept in memory; others are read again'),
    limit(
      OF_SNAPSHOTS,
      number(DUMP_LIMITS.programHeaders),
      'program headers of an ELF core',
      'some ten; a thousand in /proc/vmcore',
    ),
    limit(
      OF_SNAPSHOTS,
      number(DUMP_LIMITS.notes),
      `notes, in ${size(DUMP_LIMITS.noteBytes)}`,
      'one or two for each CPU',
    ),
    limit(OF_SNAPSHOTS, number(DUMP_LIMITS.limeRanges), 'ranges of a LiME file', 'some ten'),
    limit(
      OF_SNAPSHOTS,
      number(DUMP_LIMITS.flattenedChunks),
      'chunks of a flattened kdump',
      'some hundred thousand for 64 GiB',
    ),
    limit(
      OF_SNAPSHOTS,
      size(DUMP_LIMITS.bitmapBytes),
      "bitmaps of a kdump's pages",
      '32 KiB for each GiB of the guest',
    ),
    limit(
      OF_SNAPSHOTS,
      size(DUMP_LIMITS.searchedBytes),
      'memory that is looked through for a root, where nothing names one',
    ),
    limit(
      OF_SNAPSHOTS,
      number(DUMP_LIMITS.tablePages),
      'page-table pages that are walked: 512 GiB in 4-KiB pages. Tables that several entries lead to are looked at once, so that a walk of tables in a circle ends',
      'some thousand',
    ),
  ],
  contents: [
    limit(
      ['walk'],
      number(COMMAND_LIMITS.mappingsSpeltOut),
      'mappings that `--format info-tlb` spells out where tables are shared; beyond, each table is listed once, and that is said',
    ),
    limit(
      ['walk'],
      number(COMMAND_LIMITS.sharedTables),
      'stretches of shared tables in JSON; the others are counted',
    ),
    limit(
      ['protect', 'audit'],
      number(MACHINE_LIMITS.memoryRanges),
      'separate ranges of RAM in a memory map: the slots that KVM has left',
      'some ten',
    ),
    limit(
      [...OF_SNAPSHOTS, 'boot'],
      number(DUMP_LIMITS.nameCharacters),
      "characters of a kernel's banner, its command line, and the name of a symbol or of a range of memory",
      'some hundred',
    ),
    limit(
      [...OF_SNAPSHOTS, 'boot', 'replay'],
      number(COMMAND_LIMITS.jsonNesting),
      'arrays and objects of JSON in each other',
      'ten',
    ),
    limit(
      [...OF_SNAPSHOTS, 'boot'],
      number(COMMAND_LIMITS.jsonValues),
      'objects, arrays and elements of JSON',
    ),
    limit(
      ['replay'],
      number(INPUT_KINDS.recording.mostValues),
      'objects, arrays and elements of a recording',
    ),
    limit(
      ['replay'],
      `${number((COMMAND_LIMITS.recordedFrames * 4096) / 2 ** 40)} TiB`,
      'guest memory that a recording speaks of',
    ),
    limit(
      ['boot'],
      number(SCENARIO_LIMITS.steps),
      'steps, and expectations of rights, of a scenario with all that it includes',
    ),
    limit(
      ['boot'],
      number(SCENARIO_LIMITS.inclusions),
      'inclusions of files, each counted as often as it is reached',
    ),
    limit(['boot'], number(SCENARIO_LIMITS.nesting), 'files that include each other, one in the other'),
    limit(['boot'], number(SCENARIO_LIMITS.characters), 'characters of a scenario with all that it includes'),
    limit(['protect', 'boot'], number(MACHINE_LIMITS.attackInstructions), 'instructions of an attack'),
    limit(['boot'], number(MACHINE_LIMITS.vcpus), 'virtual CPUs of a kernel that boots'),
    limit(
      MACHINES,
      size(MACHINE_LIMITS.mostMemory),
      `RAM of a kernel that boots, and at least ${size(MACHINE_LIMITS.leastMemory)}`,
    ),
  ],
};

/** The limits of a command as lines below its help; empty for one that reads nothing. */
export function limitsHelp(command: string): string {
  const own = Object.values(LIMITS)
    .flat()
    .filter(({ commands }) => commands.includes(command));
  if (own.length === 0) return '';
  const width = Math.max(...own.map(({ most }) => most.length));
  const lines = own.map(({ most, what }) => `  ${most.padEnd(width)}  ${what}`);
  return `\nAt most (docs/limits-of-input.md):\n${lines.join('\n')}\n`;
}
