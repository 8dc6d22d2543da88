import type { MemoryData } from '../memory/memory-data.ts';
import type { VirtualSide } from '../memory/virtual-side.ts';
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

/** Entries in place of those that memory has: value by physical address, both hexadecimal; `h0x...` names host memory. */
export type Edits = Readonly<Record<string, string>>;

/** What is asked of a walk. */
export interface WalkQuery {
  /** Hexadecimal, or `SYMBOL+OFFSET`. */
  readonly address: string;
  readonly access: 'read' | 'write' | 'fetch';
  readonly user: boolean;
  readonly edits: Edits;
  /** The number of the virtual CPU that makes it, on a machine; that on which the kernel runs where there is none. */
  readonly cpu?: number | undefined;
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
    /** How the second level answered for the page itself. `null` as in {@link WalkStepView}, or where the walk does not come so far. */
    readonly secondLevel: SecondLevelView | null;
  };
  readonly warnings: readonly string[];
  /** The command that gives the same answer where nothing was edited; `null` where there is none, on a machine that lives. */
  readonly command: string | null;
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
  /** It is one of the hypervisor's tables for HLAT paging. */
  readonly isHlat: boolean;
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
  /** What each of the 512 entries of the table is: `ENTRY_KINDS`. */
  readonly neighbours: Uint8Array;
  /** By what walk of the second level the entry was read; `null` where there is no second level: a dump's walk is of the guest alone. */
  readonly secondLevel: SecondLevelView | null;
}

/** A walk of second-level tables. */
export interface SecondLevelView {
  /** `EPT`, `nested tables`. */
  readonly kind: string;
  readonly steps: readonly SecondLevelStepView[];
  readonly isAllowed: boolean;
  /** `every right asked for is granted`, `the PTE is not present`. */
  readonly outcome: string;
}

/** An entry of a second-level table. */
export interface SecondLevelStepView {
  /** `EPT PDE`. */
  readonly name: string;
  /** In host memory, as {@link WalkQuery.edits} names it: `h0x103000`. */
  readonly address: string;
  /** 16 digits. */
  readonly value: string;
  readonly isEdited: boolean;
  /** `2 MiB page at 0x101000000, WB, R X LARGE XU`. */
  readonly text: string;
  readonly bits: readonly EntryBit[];
}

/** Where one is in time. */
export interface MomentQuery {
  readonly life: LifeQuery;
  /** The number of an event. */
  readonly at: number;
}

/** Whose life: of a kernel that boots, of that in the dump which is protected, of what a scenario says, or of one that is attacked. */
export interface LifeQuery {
  /** Of the table of machines. A scenario has its own. */
  readonly machine: string;
  readonly kernel: 'modelled' | 'dump';
  /** The text of a scenario. */
  readonly scenario: string | null;
  /** An attack on a modelled kernel that has booted: the life begins with it. */
  readonly attack: string | null;
}

/** What is known of one page on a machine that lives. */
export interface FrameCard {
  readonly frame: number;
  /** Where the host keeps it. */
  readonly host: number | null;
  /** How many mappings read, write and execute it, by Heki's core; `null` where it has no counters. */
  readonly counters: { readonly read: number; readonly write: number; readonly execute: number } | null;
  /** What was asked of the hypervisor for it: `r-x, immutable`; `null` where nothing was. */
  readonly asked: string | null;
  /** What the second level lets a virtual CPU do: `r-xu`; `null` where no memory is. */
  readonly effective: string | null;
  /** A read of it by the kernel, through the second level. */
  readonly secondLevel: SecondLevelView | null;
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

/** A machine, or an attack, to choose. */
export interface Choice {
  readonly name: string;
  readonly title: string;
}

/** What there is to choose. */
export interface Choices {
  readonly machines: readonly Choice[];
  readonly attacks: readonly AttackChoice[];
}

interface AttackChoice extends Choice {
  /** What the attacker has, when it succeeds. */
  readonly gains: string;
  readonly source: string;
}

/** A life, event by event. */
export interface Timeline {
  readonly machine: Choice;
  /** Who reports: `kernel`, `core` (of Heki in the guest), `vcpu0`, the hypervisor's name. */
  readonly lanes: readonly string[];
  readonly events: readonly TimelineEvent[];
  /** How it ended. */
  readonly outcome: string;
}

export interface TimelineEvent {
  /** Index in `lanes`. */
  readonly lane: number;
  readonly text: string;
  /** A step of the kernel's boot, or of a scenario, begins. */
  readonly isStep: boolean;
}

/** A machine right after an event of its life. */
export interface Moment {
  readonly at: number;
  /** The event that {@link changed} is told from. */
  readonly since: number;
  readonly memory: MemoryData;
  /** The name of the hypervisor whose grants are `memory.grants[0]`. */
  readonly hypervisor: string;
  readonly registers: readonly WalkRegister[];
  /** Frames whose rights, in the kernel's mappings or in the second level, are not what they were right after the event `since`. */
  readonly changed: readonly (readonly [start: number, end: number])[];
}

/** An attack on one machine. */
export interface AttackStory {
  readonly machine: Choice;
  /** `blocked`, `succeeds`, `detected too late`, `crashes the guest`, `not expressible`. */
  readonly verdict: string;
  readonly evidence: string;
  readonly steps: readonly AttackStep[];
  /** Every event from the first step to the last. */
  readonly timeline: Timeline;
}

interface AttackStep {
  readonly text: string;
  /** `done`, `refused`, `faulted`, `livelock`, `died`, `unmapped`. */
  readonly result: string;
  readonly detail: string | null;
  /** What stood in the way. */
  readonly by: string | null;
  /** What the processors executed for it, each with what it led to; one that is last may have no end. */
  readonly instructions: readonly AttackInstruction[];
}

/** An instruction, or an access of one: the events up to that by which it is over. */
export interface AttackInstruction {
  /** The numbers of its events in the timeline: the first, and one behind the last. */
  readonly start: number;
  readonly end: number;
  /** What comes of it, as the guest sees it: where it is the same on two machines, they have not parted yet. */
  readonly sign: string;
  /** Where it loads, stores or executes, as a walk is asked for at the event before it; `null` too where its processor's registers are others by then. */
  readonly access: Pick<WalkQuery, 'address' | 'access' | 'user' | 'cpu'> | null;
}

/** What `heki explore` found. */
export interface Exploration {
  readonly machine: string | null;
  readonly title: string | null;
  readonly properties: readonly {
    readonly id: string;
    readonly says: string | null;
    /** `falls`, `holds`, `did-not-fall`. */
    readonly verdict: string | null;
    /** The actions that lead to where it falls; `null` where it does not. */
    readonly story: readonly string[] | null;
  }[];
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
  /** The audit of the dump's kernel, as if its page tables had these entries. */
  audit(edits: Edits): Promise<Answer<AuditPage>>;
  /** What the kernel's half of the dump maps. @param edits as of {@link audit} */
  virtualSide(edits: Edits): Promise<Answer<VirtualSide>>;
  /** @param virtualAddress hexadecimal, by which the bytes are shown as instructions; `null` for hexadecimal */
  bytes(frame: number, virtualAddress: string | null): Promise<Answer<PageBytes>>;
  /** What machines and attacks there are. */
  choices(): Promise<Answer<Choices>>;
  /** A life from its beginning to its end. */
  timeline(life: LifeQuery): Promise<Answer<Timeline>>;
  /** The machine right after an event: it lives anew up to there, and so backwards as well. @param since an earlier event, that changes are told from */
  moment(query: MomentQuery, since: number): Promise<Answer<Moment>>;
  /** A page at a moment. */
  frameAt(query: MomentQuery, frame: number): Promise<Answer<FrameCard>>;
  /** The bytes of a page at a moment. */
  bytesAt(query: MomentQuery, frame: number, virtualAddress: string | null): Promise<Answer<PageBytes>>;
  /** A walk at a moment, through both stages. */
  walkAt(query: MomentQuery, walk: WalkQuery): Promise<Answer<WalkAnswer>>;
  /** What a report of `heki explore --json` says. @param json its text */
  exploration(json: string): Promise<Answer<Exploration>>;
  /** Tries an attack on a machine that has booted. */
  attack(attack: string, machine: string): Promise<Answer<AttackStory>>;
}

/** What a server gives beside the page, as `source.json`. */
export interface ServedSource {
  readonly name: string;
  /** Unpacked, or packed by gzip. Relative addresses. */
  readonly parts: readonly { readonly url: string; readonly size: number }[];
  /** The text of the JSON that goes with it, and its name. */
  readonly sidecar: { readonly name: string; readonly text: string } | null;
}

/** What a server gives beside the page, as `story.json`, where it was started with a story. */
export interface ServedStory {
  /** Where it is told, as the part of an address behind `#`. */
  readonly place: string;
}
