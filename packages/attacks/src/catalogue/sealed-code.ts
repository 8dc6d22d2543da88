import { MODULE_MEMORY } from '@heki/linux';
import { type Gfn, PAGE_SIZE, type VirtualAddress } from '@heki/physical-memory';
import type { LabAttack } from '../attack/lab-attack.ts';
import { codeRequests } from '../attacker/code-requests.ts';
import type { Lab } from '../attacker/lab.ts';
import { MODULE_FUNCTIONS, moduleImage, PAYLOAD, PAYLOAD_QUAD } from '../kernel/functions.ts';
import { KEY_SITE_NUMBER } from '../kernel/signed-sites.ts';
import { executable, loadedModule, offset, writable } from './stores.ts';

/** The kernel's own image. */
const KERNEL = 1;
/** The first module's. */
const MODULE = 2;
const JMP = 0xe9;

/** What weaker owners of code take (`@heki/code-authority`). */
const FLAGS = { openText: 1, patchStep: 2 } as const;

interface OwnPlace {
  readonly file: Uint8Array;
  /** The address and pages of each part, of memory that the attacker got as any code of the kernel does. */
  /** Makes the request that is written already. */
  ask: () => number;
  /** Turns that the second processor has had. */
  turns: number;
  readonly parts: readonly {
    readonly address: VirtualAddress;
    readonly frames: readonly Gfn[];
    readonly bytes: Uint8Array;
  }[];
}

/** The file of a module that somebody signed, and memory of the attacker's for it. */
function ownPlace(lab: Lab): OwnPlace {
  const image = moduleImage('driver', { init: false });
  const file = lab.moduleFile(image);
  const parts = MODULE_MEMORY.flatMap((type) => {
    const bytes = image.memory[type];
    if (bytes === undefined) return [];
    const pages = Math.ceil(bytes.length / PAGE_SIZE);
    const { address } = lab.prepare('allocate pages', (kernel) => kernel.vmalloc(pages));
    const frames = Array.from({ length: pages }, (_, page) => lab.frameOf(offset(address, page * PAGE_SIZE)));
    return [{ address, frames, bytes }];
  });
  return { file, parts, ask: () => 0, turns: 0 };
}

/** The same place, with another page of the attacker's choice at its beginning. */
function withFirstFrame(parts: OwnPlace['parts'], frame: Gfn): OwnPlace['parts'] {
  return parts.map((part, index) =>
    index === 0 ? { ...part, frames: [frame, ...part.frames.slice(1)] } : part,
  );
}

const PLACES = new WeakMap<Lab, OwnPlace>();

/** What whoever runs in the kernel asks of the owner of its code: each stands for something that was proposed or built, and an owner that does so. */
export const SEALED_CODE: readonly LabAttack[] = [
  {
    name: 'open-sealed-text',
    title: "ask the owner of the code to open a page of a module's text, store there",
    gains: 'a function of a module is replaced',
    source: 'the list flag text_poke of a later draft of Heki skips the check for immutable pages',
    means: ['hypercalls'],
    stoppedBy: ['sealed-code'],
    run(lab) {
      const requests = codeRequests(lab);
      const check = offset(loadedModule(lab), MODULE_FUNCTIONS.check);
      lab.aims.bytes("the module's text", check, PAYLOAD.length);
      requests.weaker(FLAGS.openText, MODULE, 0, 1n);
      lab.cpu.ask(lab.frameOf(check), 1, 'rwx');
      lab.edit(check, writable);
      lab.plant(check);
      requests.weaker(FLAGS.openText, MODULE, 0, 0n);
    },
  },
  {
    name: 'mix-sealed-halves',
    title: 'have the owner of the code put the head of a jump on the tail of a no-op',
    gains: 'an unsigned instruction: e9 1f 44 00 00',
    source: 'litebox, validate_text_poke_bp_batch: each step is judged alone',
    means: ['hypercalls'],
    stoppedBy: ['sealed-code'],
    run(lab) {
      const requests = codeRequests(lab);
      lab.aims.bytes('the site of the key', lab.places.keySite, 5);
      const head = BigInt(1 << 8) + (BigInt(JMP) << 16n);
      requests.weaker(FLAGS.patchStep, KERNEL, KEY_SITE_NUMBER, head);
    },
  },
  {
    name: 'forge-sealed-sites',
    title: "hand over sites of one's own with a signed module, then change one",
    gains: "any jump anywhere in the module's text",
    source: 'litebox, validate_guest_module: the patch table comes from VTL0',
    means: ['hypercalls', 'module'],
    stoppedBy: ['sealed-code'],
    run(lab) {
      const requests = codeRequests(lab);
      const { file, parts } = ownPlace(lab);
      const [text] = parts;
      if (text === undefined) return;
      const forged = [{ site: MODULE_FUNCTIONS.check, target: MODULE_FUNCTIONS.check + 0x20 }];
      const image = requests.load(file, parts, forged)();
      if (image <= 0) {
        lab.aims.register('the number of a module with sites of the attacker’s', () => 0n);
        return;
      }
      lab.aims.bytes("the module's text", offset(text.address, MODULE_FUNCTIONS.check), 5);
      lab.request('vmcall: POKE', () => requests.authority.poke(image, [{ site: 0, state: 1 }]));
    },
  },
  {
    name: 'load-over-page-table',
    title: "have the owner of the code lay out a signed module over a page table of the kernel's",
    gains: 'the kernel maps nothing there any more',
    source: 'self-denial: STAGED asked for a frame that is a live stack or page table',
    means: ['hypercalls'],
    // The owner knows what it has typed; what the kernel does with other frames is the kernel's affair.
    stoppedBy: [],
    run(lab) {
      const requests = codeRequests(lab);
      const { file, parts } = ownPlace(lab);
      const table = lab.cpu.findEntries(lab.places.credentials)?.at(-1)?.address;
      if (table === undefined) return lab.notExpressible('no table maps the data of the kernel');
      lab.aims.bytes('an entry that maps data of the kernel', table);
      requests.load(file, withFirstFrame(parts, lab.frameOf(table)))();
    },
  },
  {
    name: 'flip-frozen-key',
    title: 'ask the owner of the code for the other state of a security check',
    gains: 'a check is patched away, by a state that the file declares',
    source:
      'named states are an off switch: 460 of the 484 keys that Debian’s 6.12 has switched at the seal are LSM hooks',
    means: ['hypercalls'],
    stoppedBy: ['sealed-code'],
    run(lab) {
      const { authority } = codeRequests(lab);
      lab.aims.bytes('the site of the key', lab.places.keySite, 5);
      lab.request('vmcall: POKE', () => authority.poke(KERNEL, [{ site: KEY_SITE_NUMBER, state: 1 }]));
    },
  },
  {
    name: 'race-sealed-load',
    title: 'while the owner of the code makes a module, store to the pages that it asked for',
    gains: 'a signed module, with unsigned code',
    source: 'litebox compares what VTL0 has laid out; KVM before 2007 told no other processor',
    means: ['hypercalls', 'module', 'second processor'],
    stoppedBy: ['sealed-code'],
    run(lab) {
      const requests = codeRequests(lab);
      const place = ownPlace(lab);
      // As the kernel would have laid it out: an owner that compares must find nothing.
      for (const { address, bytes } of place.parts) {
        const view = new DataView(bytes.buffer, bytes.byteOffset);
        for (let at = 0; at + 8 <= bytes.length; at += 8)
          lab.cpu.store(offset(address, at), 8, view.getBigUint64(at, true));
      }
      const [text] = place.parts;
      // The second processor knows the page already.
      if (text !== undefined) lab.second.load(offset(text.address, MODULE_FUNCTIONS.check), 8);
      place.ask = requests.load(place.file, place.parts);
      PLACES.set(lab, place);
      lab.aims.code();
    },
    race: {
      work(lab) {
        PLACES.get(lab)?.ask();
      },
      turn(lab) {
        const place = PLACES.get(lab);
        const text = place?.parts[0];
        // At first the file is read, and nothing looked at yet: an owner that compares would find what is stored now.
        if (place === undefined || place.turns++ === 0) return;
        if (text !== undefined)
          lab.second.store(offset(text.address, MODULE_FUNCTIONS.check), 8, PAYLOAD_QUAD);
      },
      after(lab) {
        const text = PLACES.get(lab)?.parts[0];
        if (text === undefined) return;
        const frame = text.frames[0] ?? (0 as Gfn);
        lab.cpu.ask(frame, 1, 'r-x');
        lab.edit(text.address, executable);
        lab.cpu.run(offset(text.address, MODULE_FUNCTIONS.check));
      },
    },
  },
];
