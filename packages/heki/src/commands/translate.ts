import type { Access } from '@heki/x86';
import { assumeProcessor } from '../assumed-processor.ts';
import { BUILT_IN_SNAPSHOT } from '../built-in-snapshot.ts';
import { ExitCode } from '../failure.ts';
import { parseVirtualAddress } from '../hex.ts';
import type { CommandIo } from '../io.ts';
import { type NamesOptions, namesOfAddressSpace } from '../names/open-names.ts';
import { isHexadecimal, resolveAddress } from '../names/resolve-address.ts';
import { openAddressSpace } from '../open-snapshot.ts';
import { readSidecar } from '../read-sidecar.ts';
import { writeReport } from '../report/write-report.ts';
import type { AddressSpaceOptions } from '../snapshot.ts';
import { KERNEL_HALF, translationAnswer } from '../translate/translation-answer.ts';
import { translationJson } from '../translate/translation-json.ts';
import { translationText } from '../translate/translation-text.ts';

/** Options of `heki translate`. */
export interface TranslateOptions extends AddressSpaceOptions, NamesOptions {
  readonly access: 'read' | 'write' | 'fetch';
  readonly user?: boolean;
  readonly cpu?: string;
  readonly json?: boolean;
}

/** `heki translate [SNAPSHOT] ADDRESS`: each level's entry, the verdict and why. A fault is an answer, too: exit code 0. */
export async function translate(
  snapshotPath: string | undefined,
  address: string,
  options: TranslateOptions,
  io: CommandIo,
): Promise<number> {
  const path = snapshotPath ?? BUILT_IN_SNAPSHOT;
  const given = isHexadecimal(address) ? parseVirtualAddress(address) : undefined;
  const access: Access = { kind: options.access, mode: options.user ? 'user' : 'supervisor' };
  // The kernel's own addresses are the same on every CPU; what a user sees is a matter of the CPU's address space.
  const isKernels = given === undefined || given >= KERNEL_HALF;
  const snapshot = openAddressSpace(
    path,
    options,
    isKernels && access.mode === 'supervisor' ? 'kernel' : 'user',
  );
  const sidecar = await readSidecar(path);
  const needed = given === undefined || options.symbols !== undefined || options.vmlinux !== undefined;
  const names = isKernels
    ? await namesOfAddressSpace(path, snapshot, sidecar, { ...options, needed })
    : undefined;
  const va = given ?? resolveAddress(address, names);
  const processor = assumeProcessor(snapshot, sidecar, options.cpu);
  const found = translationAnswer(snapshot, processor, names?.kernel, va, access);
  const answer = { ...found, warnings: [...found.warnings, ...(names?.warnings ?? [])] };
  await writeReport(
    'translate',
    { json: () => translationJson(answer), text: ({ colours }) => translationText(answer, colours) },
    options,
    io,
  );
  return ExitCode.SUCCESS;
}
