import { MODULE_MEMORY, type ModuleImage } from '@heki/linux';

/** What a module's file has for whoever lays it out: a kernel of the model gets its modules relocated, and an owner of code does that itself. */
export interface ModuleLinks {
  /** Calls of five bytes in the text, by their offsets, and the names of what they call. */
  readonly calls?: readonly { readonly offset: number; readonly name: string }[];
  /** Names that others may call, and their offsets in the text. */
  readonly exports?: Readonly<Record<string, number>>;
  /** Offsets in the init text of jump labels of five bytes. */
  readonly initLabels?: readonly number[];
}

/** A module, and what its file has beside. */
export interface LinkedModule extends ModuleImage {
  readonly links?: ModuleLinks;
}

/** What a file says of the sections behind it. */
interface FileHead extends Pick<LinkedModule, 'name' | 'sites' | 'links'> {
  /** Bytes of each kind of memory, in the order of {@link MODULE_MEMORY}. */
  readonly lengths: readonly number[];
}

const LINE_FEED = 0x0a;

/** A module of the model as a file, without a signature: a line of JSON that says what is in it, then the sections. */
export function moduleFile({ name, memory, sites = {}, links }: LinkedModule): Uint8Array {
  const lengths = MODULE_MEMORY.map((type) => memory[type]?.length ?? 0);
  const head = Uint8Array.from(`${ascii({ name, lengths, sites, ...(links && { links }) })}\n`, (letter) =>
    letter.charCodeAt(0),
  );
  const file = new Uint8Array(lengths.reduce((sum, length) => sum + length, head.length));
  file.set(head);
  let at = head.length;
  for (const type of MODULE_MEMORY) {
    const section = memory[type] ?? new Uint8Array();
    file.set(section, at);
    at += section.length;
  }
  return file;
}

/** Reads what {@link moduleFile} made: only a file whose signature counts, so that it is what its signer wrote. */
export function readModuleFile(file: Uint8Array): LinkedModule {
  const end = file.indexOf(LINE_FEED);
  const {
    name,
    lengths,
    sites = {},
    links,
  }: FileHead = JSON.parse(String.fromCharCode(...file.subarray(0, end)));
  let at = end + 1;
  const sections = MODULE_MEMORY.flatMap((type, index) => {
    const length = lengths[index] ?? 0;
    at += length;
    return length === 0 ? [] : [[type, file.slice(at - length, at)] as const];
  });
  return { name, sites, memory: Object.fromEntries(sections), ...(links && { links }) };
}

function ascii(head: FileHead): string {
  return JSON.stringify(head).replace(
    /[^ -~]/g,
    (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
