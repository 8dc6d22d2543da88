import type { HekiSection, HekiTextPatch } from '@heki/guest';
import { addressOf, type Gpa, PAGE_SIZE, type VirtualAddress } from '@heki/physical-memory';
import type { LabAttack } from '../attack/lab-attack.ts';
import type { Lab } from '../attacker/lab.ts';
import { MODULE_FUNCTIONS, moduleImage, NOP5, PAYLOAD, returning } from '../kernel/functions.ts';
import { loadedModule, offset, writable } from './stores.ts';

/** A jump of five bytes, wherever to. */
const JUMP = Uint8Array.of(0xe9, 0x10, 0x00, 0x00, 0x00);

/** Where a byte lies, as a patch names it. */
function physical(lab: Lab, va: VirtualAddress): Gpa {
  return (addressOf(lab.frameOf(va)) + Number(va % 4096n)) as Gpa;
}

/** Pages of the attacker's with the bytes of a part of a module, as sections. */
function pagesWith(
  lab: Lab,
  bytes: Uint8Array,
  kind: HekiSection['kind'],
): { readonly at: VirtualAddress[]; readonly sections: HekiSection[] } {
  const at: VirtualAddress[] = [];
  const sections: HekiSection[] = [];
  for (let from = 0; from < bytes.length; from += PAGE_SIZE) {
    const frame = lab.prepare('allocate a page', (kernel) => kernel.allocatePages());
    const page = lab.direct(frame);
    const part = new Uint8Array(PAGE_SIZE);
    part.set(bytes.subarray(from, from + PAGE_SIZE));
    const view = new DataView(part.buffer);
    for (let byte = 0; byte < PAGE_SIZE; byte += 8)
      lab.cpu.store(offset(page, byte), 8, view.getBigUint64(byte, true));
    at.push(page);
    const start = addressOf(frame);
    sections.push({ start, end: (start + PAGE_SIZE) as Gpa, kind });
  }
  return { at, sections };
}

/** Puts the parts of a module into pages of the attacker's, with `text` as its code. */
export function layOutModule(
  lab: Lab,
  text: Uint8Array,
): { readonly text: readonly VirtualAddress[]; readonly sections: readonly HekiSection[] } {
  const { memory } = moduleImage('driver', { init: false });
  const code = pagesWith(lab, text, 'text');
  const rodata = pagesWith(lab, memory.rodata ?? new Uint8Array(PAGE_SIZE), 'rodata');
  const data = pagesWith(lab, memory.data ?? new Uint8Array(PAGE_SIZE), 'data');
  return { text: code.at, sections: [...code.sections, ...rodata.sections, ...data.sections] };
}

/** Has VTL1 validate a module that the attacker has put into pages of his own: the pages of its text. */
function validate(
  lab: Lab,
  text: Uint8Array,
  patches: (text: readonly VirtualAddress[]) => readonly HekiTextPatch[],
  init: readonly HekiSection[] = [],
): { readonly text: readonly VirtualAddress[]; readonly token: number } {
  const secure = lab.secureKernel();
  const module = layOutModule(lab, text);
  const token = lab.request('VALIDATE_MODULE', () =>
    secure.validateModule([...module.sections, ...init], patches(module.text)),
  );
  return { text: module.text, token };
}

/** The module is one that somebody signed: the kernel has loaded it once. */
export function signModule(lab: Lab, options: Parameters<typeof moduleImage>[1] = {}): Uint8Array {
  lab.secureKernel();
  const image = moduleImage('driver', { init: false, ...options });
  lab.prepare('load a signed module', (kernel) => kernel.loadModule(image));
  lab.prepare('unload it', (kernel) => kernel.unloadModule('driver'));
  return image.memory.text ?? new Uint8Array();
}

const LITEBOX = 'litebox, the secure kernel of LVBS, source of February 2026';

/** What a secure kernel that looks at code believes and should not. Where there is none, other attacks do the same without asking. */
export const SIGNED_CODE: readonly LabAttack[] = [
  {
    name: 'forge-patch-table',
    title: "hand over a patch table of one's own with a signed module, then apply it",
    gains: "any five bytes anywhere in the module's text",
    source: `${LITEBOX}: validate_guest_module takes the table from VTL0 (B-L1)`,
    means: ['hypercalls', 'module'],
    stoppedBy: ['signed-code'],
    run(lab) {
      const text = signModule(lab);
      const secure = lab.secureKernel();
      const bytes = returning(1).subarray(0, 5);
      const at = (page: VirtualAddress): Gpa => physical(lab, offset(page, MODULE_FUNCTIONS.check));
      const loaded = validate(lab, text, ([page]) =>
        page === undefined ? [] : [{ address: at(page), bytes }],
      );
      const [page] = loaded.text;
      if (page === undefined) return;
      lab.aims.bytes("the module's text", offset(page, MODULE_FUNCTIONS.check), 5);
      // int3, the tail, the head: the steps of text_poke.
      const address = at(page);
      const tail = (address + 1) as Gpa;
      lab.request('PATCH_TEXT int3', () => secure.patchText({ address, bytes: Uint8Array.of(0xcc) }));
      lab.request('PATCH_TEXT the tail', () => secure.patchText({ address: tail, bytes: bytes.subarray(1) }));
      lab.request('PATCH_TEXT the head', () => secure.patchText({ address, bytes: bytes.subarray(0, 1) }));
    },
  },
  {
    name: 'mix-patch-halves',
    title: 'put the head of a jump on the tail of a no-op',
    gains: 'an unsigned instruction: e9 1f 44 00 00',
    source: `${LITEBOX}: validate_text_poke_bp_batch judges each step alone (B-L5)`,
    means: ['hypercalls', 'module'],
    stoppedBy: ['signed-code'],
    run(lab) {
      const secure = lab.secureKernel();
      const { keySite } = lab.places;
      lab.aims.bytes('the site of the key', keySite, 5);
      const address = physical(lab, keySite);
      lab.request('PATCH_TEXT the head of the jump', () =>
        secure.patchText({ address, bytes: JUMP.subarray(0, 1) }),
      );
    },
  },
  {
    name: 'change-relocation-sites',
    title: 'put a jump where the loader of a signed module puts an address',
    gains: 'every call of a signed module goes where the attacker wants',
    source: `${LITEBOX}: section_from_elf[reloc] := section_in_memory[reloc] (B-L3)`,
    means: ['hypercalls', 'module'],
    stoppedBy: ['signed-code'],
    run(lab) {
      const text = signModule(lab, { sites: { ftrace: [MODULE_FUNCTIONS.traced] } });
      const changed = Uint8Array.from(text);
      changed.set(JUMP, MODULE_FUNCTIONS.traced);
      const { token } = { token: 0 };
      let answer = token;
      lab.aims.register('the token of a module with a changed site', () => (answer > 0 ? 1n : 0n));
      answer = validate(lab, changed, () => []).token;
    },
  },
  {
    name: 'stale-patch',
    title: 'apply a patch whose second page was freed since',
    gains: 'bytes of a page that is somebody else’s by now',
    source: `${LITEBOX}: free_guest_module_init removes no patch (B-L2)`,
    means: ['hypercalls', 'module'],
    stoppedBy: ['signed-code'],
    run(lab) {
      const text = signModule(lab, { init: true });
      const secure = lab.secureKernel();
      const init = pagesWith(lab, new Uint8Array(PAGE_SIZE).fill(0x90), 'init-text');
      const [victim] = init.at;
      if (victim === undefined) return;
      const secondPage = physical(lab, victim);
      const last = (page: VirtualAddress): Gpa => physical(lab, offset(page, PAGE_SIZE - 1));
      const loaded = validate(
        lab,
        text,
        (pages) => pages.slice(0, 1).map((page) => ({ address: last(page), secondPage, bytes: JUMP })),
        init.sections,
      );
      const [page] = loaded.text;
      if (page === undefined) return;
      lab.request('FREE_MODULE_INIT', () => secure.freeModuleInit(loaded.token));
      lab.cpu.store(victim, 8, 0x1111_1111_1111_1111n);
      lab.aims.bytes('a page that was freed', victim, 4);
      lab.request('PATCH_TEXT int3', () =>
        secure.patchText({ address: last(page), bytes: Uint8Array.of(0xcc) }),
      );
      lab.request('PATCH_TEXT the tail', () =>
        secure.patchText({ address: secondPage, bytes: JUMP.subarray(1) }),
      );
    },
  },
  {
    name: 'unload-module-in-use',
    title: 'have VTL1 unload a module that goes on running, and change its rodata',
    gains: 'a driver calls what the attacker names, and was signed',
    source: `${LITEBOX}: unload_guest_module hands pages over as they stand (B-L4)`,
    means: ['hypercalls', 'module'],
    stoppedBy: ['signed-code'],
    run(lab) {
      const text = signModule(lab);
      const secure = lab.secureKernel();
      const loaded = validate(lab, text, () => []);
      const [page] = loaded.text;
      if (page === undefined) return;
      lab.aims.register('the code that a module in use holds', () =>
        lab.cpu.load(offset(page, MODULE_FUNCTIONS.check), 8).value === PAYLOAD_AS_IS ? 1n : 0n,
      );
      lab.request('UNLOAD_MODULE', () => secure.unloadModule(loaded.token));
      lab.edit(page, writable);
      // The module still runs: whether its other bytes are there decides whether the change is one of a module.
      if (lab.cpu.load(offset(page, MODULE_FUNCTIONS.traced), 1).value === BigInt(NOP5[0] ?? 0)) {
        lab.plant(offset(page, MODULE_FUNCTIONS.check));
      }
    },
  },
  {
    name: 'patch-unknown-site',
    title: 'ask VTL1 to patch a place that no patch is known of',
    gains: 'any byte of text becomes int3',
    source: 'litebox 764 (April 2026)',
    means: ['hypercalls'],
    stoppedBy: ['signed-code', 'sealed-code'],
    run(lab) {
      const text = loadedModule(lab);
      const check = offset(text, MODULE_FUNCTIONS.check);
      lab.aims.bytes("the module's text", check, 1);
      const { secureKernel } = lab.machine.heki;
      if (secureKernel === undefined)
        lab.call('text_poke', (kernel) => kernel.textPoke(check, Uint8Array.of(0xcc)));
      else
        lab.request('PATCH_TEXT int3', () =>
          secureKernel.patchText({ address: physical(lab, check), bytes: Uint8Array.of(0xcc) }),
        );
    },
  },
];

const PAYLOAD_AS_IS: bigint = new DataView(Uint8Array.of(...PAYLOAD, 0x90, 0x90).buffer).getBigUint64(
  0,
  true,
);
