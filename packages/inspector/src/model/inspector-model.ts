import type { AuditPage } from '../report/audit-page.ts';

/** Why something could not be done: the words of the command, with its kind. */
export interface InspectorFailure {
  readonly kind: string;
  readonly message: string;
}

/** What the model answers. A failure is a value: an error would lose its kind on the way out of a worker. */
export type Answer<Value> = { readonly value: Value } | { readonly failure: InspectorFailure };

/** A dump that is open, with its audit. */
export interface OpenedDump {
  /** The name of its file. */
  readonly name: string;
  /** `ELF core`. */
  readonly format: string;
  readonly page: AuditPage;
  /** An address to begin with: the kernel's first instruction. */
  readonly text: string;
}

/** What is asked of a walk. */
export interface WalkQuery {
  /** Hexadecimal, or `SYMBOL+OFFSET`. */
  readonly address: string;
  readonly access: 'read' | 'write' | 'fetch';
  readonly user: boolean;
  /** Entries in place of those that memory has: value by physical address, both hexadecimal. */
  readonly edits: Readonly<Record<string, string>>;
}

/** How an access ends, and the entries on its way. */
export interface WalkAnswer {
  /** The address, 16 digits. */
  readonly va: string;
  /** `vfs_read+0x10, in kernel text`. */
  readonly place: string | null;
  /** `CR3`, `CR0`, ...: value, and the bits that matter. */
  readonly registers: readonly WalkRegister[];
  readonly processor: string;
  /** Which page tables, and what proves that they are the kernel's. */
  readonly tables: string;
  readonly steps: readonly WalkStepView[];
  readonly outcome: {
    readonly kind: 'allowed' | 'refused' | 'unknown';
    /** `allowed: guest-physical 0x1000000, in a 2 MiB page`. */
    readonly text: string;
    /** What all levels grant together, or each reason of a refusal. */
    readonly details: readonly string[];
    /** The frame that is reached. */
    readonly frame: number | null;
  };
  readonly warnings: readonly string[];
  /** The command that gives the same answer where nothing was edited. */
  readonly command: string;
}

export interface WalkRegister {
  readonly name: string;
  readonly value: string;
  readonly bits: readonly string[];
}

/** An entry that the walk read. */
export interface WalkStepView {
  /** `PML4E`. */
  readonly name: string;
  /** Its number in the table, 0 .. 511, and the bits of the address that it is. */
  readonly index: number;
  readonly indexBits: string;
  /** Physical address of the entry, and of its table. */
  readonly address: string;
  readonly table: string;
  /** As it is now, 16 digits. */
  readonly value: string;
  readonly isEdited: boolean;
  readonly isPresent: boolean;
  /** `table at 0x1a00000`, `2 MiB page at 0x1000000`, `not present`. */
  readonly target: string;
  readonly bits: readonly EntryBit[];
  /** What each of the 512 entries of the table is: {@link ENTRY_KINDS}. */
  readonly neighbours: Uint8Array;
}

/** A bit of an entry. */
export interface EntryBit {
  /** `RW`. */
  readonly name: string;
  readonly bit: number;
  readonly isSet: boolean;
  readonly meaning: string;
}

/** What an entry of a table is, by its number in `WalkStepView.neighbours`. */
export const ENTRY_KINDS = ['not-ram', 'table', 'data', 'constant', 'code', 'writable-code'] as const;

/** The bytes of a page, where the dump holds them. */
export interface PageBytes {
  /** The address that they are shown at: virtual where the page is mapped. */
  readonly address: string;
  /** Lines of hexadecimal or of instructions; empty where the dump lacks the page. */
  readonly lines: readonly string[];
  readonly isCode: boolean;
}

/**
 * What answers the page: the packages of heki in a Web Worker. The page knows no rule of the model; everything that it says comes from
 * here, where it is the command's own code.
 */
export interface InspectorModel {
  /** Opens what a person chose: a dump, its parts, and the JSON that goes with it. */
  openFiles(files: readonly File[]): Promise<Answer<OpenedDump>>;
  /** Opens what {@link ServedSource} describes. @param base the address that its parts are relative to */
  openServed(source: ServedSource, base: string): Promise<Answer<OpenedDump>>;
  walk(query: WalkQuery): Promise<Answer<WalkAnswer>>;
  /** @param virtualAddress hexadecimal, by which the bytes are shown as instructions; `null` for hexadecimal */
  bytes(frame: number, virtualAddress: string | null): Promise<Answer<PageBytes>>;
}

/** What a server gives beside the page, as `source.json`. */
export interface ServedSource {
  readonly name: string;
  /** Unpacked, or packed by gzip. Relative addresses. */
  readonly parts: readonly { readonly url: string; readonly size: number }[];
  /** The text of the JSON that goes with it, and its name. */
  readonly sidecar: { readonly name: string; readonly text: string } | null;
}
