import { hex, type VirtualAddress, type VirtualFrame } from '@heki/physical-memory';
import type { Place } from '@heki/symbols';
import { type ChosenRoot, lastEntryAt, type ProvenRoot, virtualMemoryOf } from '@heki/vmcore';
import { EntryHigh } from '@heki/x86';
import { ExitCode, UsageError } from '../failure.ts';
import { hex16, parseVirtualAddress } from '../hex.ts';
import type { CommandIo } from '../io.ts';
import { COMMAND_LIMITS } from '../limits/command-limits.ts';
import type { Names } from '../names/names.ts';
import { type NamesOptions, namesOfAddressSpace } from '../names/open-names.ts';
import { placeJson, placeText, symbolText } from '../names/place-text.ts';
import { isHexadecimal, resolveAddress } from '../names/resolve-address.ts';
import { openAddressSpace } from '../open-snapshot.ts';
import { codeLines } from '../read/code-lines.ts';
import { type DecodedInstruction, disassemble } from '../read/disassemble.ts';
import { bytesInHex, hexLines, readStretches, type Stretch } from '../read/hex-dump.ts';
import { readSidecar } from '../read-sidecar.ts';
import { writeReport } from '../report/write-report.ts';
import { type AddressSpaceOptions, tablesJson } from '../snapshot.ts';
import { tableWarnings, type Warning } from '../warning.ts';

/** Options of `heki read`. */
export interface ReadOptions extends AddressSpaceOptions, NamesOptions {
  readonly as?: 'hex' | 'code';
  readonly json?: boolean;
}

/** Without a length: as much as a screen shows. */
const DEFAULT_LENGTH = 128;
const KERNEL_HALF = 1n << 63n;

/** What is told. */
interface Answer {
  readonly address: VirtualAddress;
  readonly length: number;
  readonly tables: ProvenRoot | ChosenRoot;
  readonly names: Names | undefined;
  readonly place: Place | undefined;
  readonly stretches: readonly (Stretch & { readonly code: readonly DecodedInstruction[] | undefined })[];
  readonly warnings: readonly Warning[];
}

/**
 * `heki read SNAPSHOT ADDRESS [LENGTH]`: bytes as hexadecimal, and as instructions where they can be executed. Exit code 1 when some are not
 * mapped or not in the snapshot.
 */
export async function read(
  path: string,
  what: string,
  length: number | undefined,
  options: ReadOptions,
  io: CommandIo,
): Promise<number> {
  const given = isHexadecimal(what) ? parseVirtualAddress(what) : undefined;
  const isKernels = given === undefined || given >= KERNEL_HALF;
  const snapshot = openAddressSpace(path, options, isKernels ? 'kernel' : 'user');
  const { core, tables } = snapshot;
  const needed = given === undefined || options.symbols !== undefined || options.vmlinux !== undefined;
  const sidecar = await readSidecar(path);
  const names = isKernels
    ? await namesOfAddressSpace(path, snapshot, sidecar, { ...options, needed })
    : undefined;
  const address = given ?? resolveAddress(what, names);
  const wanted = Math.min(length ?? DEFAULT_LENGTH, Number((1n << 64n) - address));
  const isCodeAt = (frame: VirtualFrame) =>
    options.as === undefined ? canBeExecuted(tables, frame) : options.as === 'code';
  const stretches = [];
  for (const stretch of readStretches(
    names?.memory ?? virtualMemoryOf(tables),
    names?.image,
    address,
    wanted,
    isCodeAt,
  )) {
    stretches.push({
      ...stretch,
      code:
        stretch.isCode && stretch.bytes !== undefined
          ? await disassemble(stretch.bytes, stretch.address)
          : undefined,
    });
  }
  const place = names?.kernel.at(address);
  const answer: Answer = {
    address,
    length: wanted,
    tables,
    names,
    place,
    stretches,
    warnings: [...tableWarnings(core, tables), ...(names?.warnings ?? [])],
  };
  await writeReport('read', { json: () => toJson(answer), text: () => describe(answer) }, options, io);
  return stretches.some(({ bytes }) => bytes === undefined) ? ExitCode.FAILURE : ExitCode.SUCCESS;
}

/** @throws {UsageError} unless `text` is a number of bytes from 1 to the limit, decimal or hexadecimal with 0x */
export function parseLength(text: string): number {
  const length = /^(?:0x[0-9a-f]{1,8}|[0-9]{1,8})$/i.test(text) ? Number(text) : 0;
  if (length < 1 || length > COMMAND_LIMITS.readBytes) {
    throw new UsageError(
      `"${text}" is not a length: expected 1 to ${COMMAND_LIMITS.readBytes} bytes, as 64 or 0x40`,
    );
  }
  return length;
}

function canBeExecuted(tables: ProvenRoot | ChosenRoot, frame: VirtualFrame): boolean {
  const { low, high } = lastEntryAt(tables, frame);
  return low % 2 === 1 && (high & EntryHigh.XD) === 0;
}

function* describe({ address, place, stretches, names, warnings }: Answer): Generator<string> {
  yield* warnings.map(({ message }) => `# warning: ${message}`);
  if (place !== undefined) yield `# ${hex16(address)}  ${placeText(place)}`;
  for (const { address: start, length, bytes, isFromImage, code } of stretches) {
    if (isFromImage) yield FROM_IMAGE;
    if (bytes === undefined)
      yield `${hex16(start)}-${hex16(start + BigInt(length) - 1n)}  not mapped, or not in the snapshot`;
    else if (code === undefined) yield* hexLines(bytes, start);
    else yield* codeLines(code, names?.kernel);
  }
}

/** What the kernel patched since it was started is not in its image. */
const FROM_IMAGE =
  '# from the image, not from the guest: alternatives, static calls and patched sites may differ, and data are as the kernel began with them';

function toJson({ address, length, tables, names, place, stretches, warnings }: Answer): object {
  return {
    va: hex(address),
    length,
    place: place === undefined ? null : placeJson(place),
    tables: tablesJson(tables),
    stretches: stretches.map(({ address: start, length: size, bytes, isFromImage, code }) => ({
      va: hex(start),
      length: size,
      from: bytes === undefined ? null : isFromImage ? 'image' : 'guest',
      bytes: bytes === undefined ? null : bytesInHex(bytes).replaceAll(' ', ''),
      code:
        code?.map(({ address: at, bytes: own, text, target }) => ({
          va: hex(at),
          bytes: bytesInHex(own).replaceAll(' ', ''),
          text,
          target: target === undefined ? null : { va: hex(target), ...targetJson(names, target) },
        })) ?? null,
    })),
    warnings,
  };
}

function targetJson(names: Names | undefined, target: VirtualAddress): object {
  const place = names?.kernel.at(target);
  return { symbol: (place === undefined ? undefined : symbolText(place)) ?? null };
}
