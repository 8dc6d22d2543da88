import { readFile, stat } from 'node:fs/promises';
import { basename } from 'node:path';
import type { MachineSpecification } from '@heki/machine';
import { INTEL_VT_RP } from '@heki/x86';
import { coloursFor } from '../colours.ts';
import { ExitCode, InputError, UsageError } from '../failure.ts';
import type { CommandIo } from '../io.ts';
import type { MachineFlags } from '../machine-flags.ts';
import { createProgress } from '../progress.ts';
import { readRecording } from '../replay/recording.ts';
import { type ReplayReport, replayRecording } from '../replay/replay-recording.ts';
import { replayText } from '../replay/replay-text.ts';
import { hypervisorOf, specificationOf } from '../specification.ts';

/** Options of `heki replay`. */
export interface ReplayOptions extends MachineFlags {
  readonly json?: boolean;
}

/** The recording of a kernel with 139 modules loaded and unloaded twice has 1 MiB. */
const LARGEST_FILE = 256 * 1024 * 1024;

/** `heki replay RECORDING`. */
export async function replay(path: string, options: ReplayOptions, io: CommandIo): Promise<number> {
  const status = await stat(path);
  if (status.isDirectory()) throw new InputError(`${path}: is a directory`);
  const { size } = status;
  if (size > LARGEST_FILE) {
    throw new InputError(`${path}: ${size} bytes: expected a recording of at most ${LARGEST_FILE}`);
  }
  const machine = specificationOf(options);
  // Refuses what the recording's machine does not have.
  hypervisorOf(machine, {}, INTEL_VT_RP);
  if (machine.defects?.['B-G5'] === false)
    throw new UsageError('--no-defect B-G5: a recording does not hold what a core without it looks at');
  const report = replayNamed(path, await readFile(path), machine, io);
  const text =
    options.json === true
      ? `${JSON.stringify(replayJson(report), undefined, 2)}\n`
      : replayText(basename(path), report, coloursFor(io.stdout, io.env));
  await io.stdout.write(text);
  return ExitCode.SUCCESS;
}

/** Replays the recording in `bytes`; what is wrong with it is said of the file at `path`. */
function replayNamed(
  path: string,
  bytes: Uint8Array,
  machine: MachineSpecification,
  io: CommandIo,
): ReplayReport {
  try {
    const calls = readRecording(bytes);
    const progress = createProgress(io, { what: 'replaying', total: calls.length });
    try {
      return replayRecording(calls, {
        ...machine,
        onProgress: progress.update,
      });
    } finally {
      progress.stop();
    }
  } catch (error) {
    throw error instanceof InputError ? new InputError(`${path}: ${error.message}`) : error;
  }
}

/** The report as programs read it. */
function replayJson({ profile, defects, mbec, calls, hypercalls, failedHooks, ranges, end }: ReplayReport) {
  return { profile, defects, mbec, calls, hypercalls, failedHooks, ranges, end };
}
