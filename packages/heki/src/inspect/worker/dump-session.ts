import type {
  AuditPage,
  Edits,
  OpenedDump,
  PageBytes,
  VirtualSide,
  WalkAnswer,
  WalkQuery,
} from '@heki/inspector';
import {
  createOverlay,
  type Gfn,
  hex,
  PAGE_SIZE,
  type PhysicalMemory,
  type VirtualAddress,
  virtualAddressOf,
} from '@heki/physical-memory';
import {
  type ByteSource,
  type ProvenRoot,
  parseMemoryMap,
  proveKernelRoot,
  type Region,
  readVmcore,
  type VirtualRange,
  VmcoreError,
} from '@heki/vmcore';
import { assumeProcessor } from '../../assumed-processor.ts';
import { auditPage } from '../../audit/audit-page.ts';
import { createBaseline } from '../../audit/baseline.ts';
import { listedCode } from '../../audit/listed-code.ts';
import { type AuditReport, auditReport } from '../../audit/report.ts';
import { InputError } from '../../failure.ts';
import type { Names } from '../../names/names.ts';
import { namesOfKernel } from '../../names/names-of-kernel.ts';
import { symbolText } from '../../names/place-text.ts';
import { isHexadecimal, resolveAddress } from '../../names/resolve-address.ts';
import { type Subject, type SubjectSurroundings, subjectOf } from '../../protect/subject.ts';
import type { Sidecar } from '../../sidecar.ts';
import { addressSpaceOf, snapshotOf } from '../../snapshot.ts';
import { KERNEL_HALF, translationAnswer } from '../../translate/translation-answer.ts';
import { pageBytes } from './page-bytes.ts';
import { virtualSide } from './virtual-side.ts';
import { walkView } from './walk-view.ts';

/** What is known of a dump beside its bytes. */
export interface DumpSurroundings {
  /** Its file's name. */
  readonly name: string;
  readonly sidecar: { readonly parsed: Sidecar; readonly text: string } | undefined;
  /** `heki 1.2.3`. */
  readonly tool: string;
}

/** The kernel of a dump, with the names of what is in it. */
export interface KernelOfDump {
  readonly subject: Subject;
  readonly regions: readonly Region[];
  /** Pages of eBPF; `undefined` where nothing lists them. */
  readonly bpf: readonly VirtualRange[] | undefined;
  /** `vfs_read+0x10`; `undefined` where no symbol is known. */
  symbolAt(address: VirtualAddress): string | undefined;
  /** @throws {UsageError} when it is neither an address nor a symbol that is known */
  resolve(text: string): VirtualAddress;
}

/** A dump that is looked at. */
export interface DumpSession {
  readonly opened: OpenedDump;
  /** @throws {UsageError} for what is no address */
  walk(query: WalkQuery): WalkAnswer;
  /** The audit of the kernel, as if its page tables had these entries. @throws {InputError} when they are no kernel's then */
  audit(edits: Edits): AuditPage;
  /** What the kernel's half maps. */
  virtualSide(edits: Edits): VirtualSide;
  /** The kernel in it, for machines around it. */
  readonly kernel: KernelOfDump;
  /** The bytes of a frame. */
  bytes(frame: number, address: VirtualAddress | undefined): Promise<PageBytes>;
}

/**
 * Opens a dump, and audits its kernel.
 *
 * @param sources its parts
 * @throws {InputError} as the command does for the same file
 */
export function openDumpSession(
  sources: readonly ByteSource[],
  { name, sidecar, tool }: DumpSurroundings,
): DumpSession {
  const { core, snapshot } = withName(name, () => {
    const opened = readVmcore(sources);
    return { core: opened, snapshot: snapshotOf(opened) };
  });
  const map =
    sidecar?.parsed.hasMemoryMap === true ? withName(name, () => parseMemoryMap(sidecar.text)) : undefined;
  const surroundings: SubjectSurroundings = {
    path: name,
    name,
    embedded: false,
    sidecar: sidecar?.parsed,
    memoryMap:
      map === undefined || sidecar === undefined
        ? undefined
        : { path: sidecar.parsed.path, name: sidecar.parsed.name, map },
    cpu: undefined,
  };
  const subject = subjectOf(snapshot, surroundings);
  let known: Names | undefined;
  const names = (): Names => {
    known ??= namesOfKernel(core, snapshot.tables, sidecar?.parsed);
    return known;
  };
  const symbolAt = (address: VirtualAddress) => symbolText(names().kernel.at(address));
  const resolve = (text: string) => resolveAddress(text, isHexadecimal(text) ? undefined : names());
  const { text } = snapshot.tables;
  const hasContents = core.memory.page(text.frame) !== undefined;
  const audited = (one: Subject): AuditReport => {
    // As for the command: an extract of page tables has no lists.
    const lists = hasContents ? listedCode(names().kernel, one.tables) : undefined;
    return auditReport(one, {
      failOn: 'high',
      baseline: createBaseline([]),
      heki: undefined,
      redact: false,
      evidence: {
        symbolAt,
        listedCode: typeof lists === 'string' ? undefined : lists,
      },
      today: '',
    });
  };
  const report = audited(subject);
  let edited: { readonly key: string; readonly report: AuditReport } | undefined;
  /** The report on the kernel with these entries. The one asked for last is kept. */
  const reportWith = (edits: Edits): AuditReport => {
    if (Object.keys(edits).length === 0) return report;
    const key = JSON.stringify(edits);
    if (edited?.key === key) return edited.report;
    const tables = withName(name, () => editedTables(snapshot.tables, edits));
    edited = { key, report: audited(subjectOf({ ...snapshot, tables }, surroundings)) };
    return edited.report;
  };

  return {
    opened: {
      name,
      format: core.format,
      page: auditPage(report, [], tool),
      text: hex(virtualAddressOf(text.virtualFrame)),
    },
    walk({ address, access: kind, user, edits }) {
      const va = resolve(address.trim());
      const access = { kind, mode: user ? 'user' : 'supervisor' } as const;
      const space = withName(name, () =>
        va >= KERNEL_HALF && !user ? snapshot : addressSpaceOf(core, {}, 'user'),
      );
      const memory = withEdits(core.memory, edits);
      const processor = assumeProcessor(space, sidecar?.parsed, undefined);
      const placed = va >= KERNEL_HALF ? names().kernel : undefined;
      const answer = translationAnswer(space, processor, placed, va, access, memory);
      return walkView(answer, memory, edits, name);
    },
    audit: (edits) => auditPage(reportWith(edits), [], tool),
    virtualSide: (edits) => virtualSide(reportWith(edits).audit.kernel.mappings),
    kernel: {
      ...{ subject, symbolAt, resolve },
      regions: report.audit.kernel.regions,
      bpf: report.audit.kernel.listedCode?.bpf,
    },
    async bytes(frame, address) {
      const page = withName(name, () => core.memory.page(frame as Gfn));
      return pageBytes(page, frame, address, names().kernel);
    },
  };
}

/** Memory with other entries, as the reader of the page has them. @throws {InputError} for one that is not in the dump */
function withEdits(memory: PhysicalMemory<Gfn>, edits: Edits): PhysicalMemory<Gfn> {
  const edited = createOverlay({ base: memory });
  for (const [address, value] of Object.entries(edits)) {
    const at = Number(address);
    const entry = BigInt(value);
    // An entry of host memory is none of a dump.
    const page =
      at % 8 === 0 && Number.isSafeInteger(at)
        ? edited.writablePage(Math.floor(at / PAGE_SIZE) as Gfn)
        : undefined;
    if (page === undefined) throw new InputError(`there is no entry at ${address} that could be edited`);
    const word = (at % PAGE_SIZE) / 4;
    page[word] = Number(entry % 0x1_0000_0000n);
    page[word + 1] = Number(entry / 0x1_0000_0000n);
  }
  return edited;
}

/** The same tables with other entries. @throws {VmcoreError} when nothing proves any more that they are a kernel's */
function editedTables(tables: ProvenRoot, edits: Edits): ProvenRoot {
  const { root, levels, encryptionBit, memory } = tables;
  return proveKernelRoot({ memory: withEdits(memory, edits), root, levels, encryptionBit });
}

/** What `read` makes of the dump, with its name before what is wrong with it. */
function withName<Result>(name: string, read: () => Result): Result {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof VmcoreError)) throw error;
    throw new InputError(error.message, { ...error.place, file: name }, error);
  }
}
