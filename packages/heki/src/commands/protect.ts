import { basename } from 'node:path';
import { BUILT_IN_SNAPSHOT } from '../built-in-snapshot.ts';
import { InputError } from '../failure.ts';
import { findBackend } from '../find-backend.ts';
import { INPUT_KINDS } from '../input/input-kind.ts';
import { readText } from '../input/read-text.ts';
import type { CommandIo } from '../io.ts';
import { isBuiltIn, parseKernelConfig } from '../kernel-config.ts';
import type { MachineFlags } from '../machine-flags.ts';
import { loadAttacks } from '../modules/attack-module.ts';
import { type NamesOptions, openNames } from '../names/open-names.ts';
import { attackedBytesOfAll } from '../protect/attacked-bytes.ts';
import { openSubject } from '../protect/open-subject.ts';
import { protectJson } from '../protect/protect-json.ts';
import { type ProtectSettings, protectKernel } from '../protect/protect-kernel.ts';
import { protectText } from '../protect/protect-text.ts';
import { protectVerdict } from '../protect/protect-verdict.ts';
import type { ProtectReport, ReportedContents } from '../protect/report.ts';
import type { Subject, SubjectOptions } from '../protect/subject.ts';
import { readSidecar } from '../read-sidecar.ts';
import { writeReport } from '../report/write-report.ts';
import { specificationOf } from '../specification-of-flags.ts';
import { exitCodeOf } from '../verdict/finding.ts';

/** Options of `heki protect`. */
export interface ProtectOptions
  extends SubjectOptions,
    NamesOptions,
    Omit<MachineFlags, keyof SubjectOptions> {
  readonly kernelConfig?: string;
  readonly attack?: readonly string[];
  readonly strict?: boolean;
  readonly trace?: boolean;
  readonly json?: boolean;
}

/** `heki protect [SNAPSHOT]`. Exit code 1 when there is a finding that makes it fail: a refusal, a claim that is not kept. */
export async function protect(
  path: string | undefined,
  options: ProtectOptions,
  io: CommandIo,
): Promise<number> {
  const { report, contents } = await protectReport(path, options);
  await writeReport(
    'protect',
    {
      json: () => protectJson(report, contents),
      text: (screen) => protectText(report, contents, screen),
    },
    options,
    io,
  );
  const { findings, ...strictness } = protectVerdict(report);
  return exitCodeOf(findings, strictness);
}

/** What the command has to tell, in whatever format. */
export async function protectReport(
  path: string | undefined,
  options: ProtectOptions,
): Promise<{ readonly report: ProtectReport; readonly contents: ReportedContents }> {
  const kernelConfig =
    options.kernelConfig === undefined ? undefined : await readKernelConfig(options.kernelConfig);
  const machine = specificationOf(options);
  const backend = await findBackend(machine.hypervisor);
  const attacks = await loadAttacks(options.attack);
  const subject = await openSubject(path, options);
  const sidecar = await readSidecar(path ?? BUILT_IN_SNAPSHOT);
  const names = await openNames(subject.core, subject.tables, sidecar, options);
  const warned = { ...subject, warnings: [...subject.warnings, ...names.warnings] };
  const report = protectKernel(warned, {
    image: imageOver(subject, names.image, options.vmlinux),
    machine,
    backend,
    attacks,
    kernelConfig,
    strict: options.strict ?? false,
    trace: options.trace ?? false,
  });
  return { report, contents: { names, bytes: await attackedBytesOfAll(report.attacks, names) } };
}

/** @throws {InputError} where bytes of an image could be taken for the page tables that the dump lacks */
function imageOver<Image>({ warnings }: Subject, image: Image | undefined, file: string | undefined) {
  if (image !== undefined && warnings.some(({ id }) => id === 'absent-tables')) {
    throw new InputError(
      "the snapshot lacks page tables of the kernel, and an image's bytes must not stand for them: expected a whole dump, or none of --vmlinux",
      { file },
    );
  }
  return image;
}

async function readKernelConfig(path: string): Promise<ProtectSettings['kernelConfig']> {
  const options = parseKernelConfig(await readText(path, INPUT_KINDS.kernelConfig), path);
  const has = (name: string): boolean => isBuiltIn(options, `CONFIG_${name}`);
  return {
    from: basename(path),
    config: {
      RANDOMIZE_BASE: has('RANDOMIZE_BASE'),
      JUMP_LABEL: has('JUMP_LABEL'),
      X86_5LEVEL: has('X86_5LEVEL'),
      KUNIT: has('KUNIT'),
    },
  };
}
