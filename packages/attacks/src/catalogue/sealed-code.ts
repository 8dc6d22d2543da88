import type { LabAttack, RacingAttack } from '../attack/lab-attack.ts';
import { codeRequests } from '../attacker/code-requests.ts';
import type { Lab } from '../attacker/lab.ts';
import { askForText, layOut, type OwnModule, ownModules, withFirstFrame } from '../attacker/own-module.ts';
import { MODULE_FUNCTIONS, moduleImage, PAYLOAD, PAYLOAD_QUAD } from '../kernel/functions.ts';
import { KEY_SITE_NUMBER } from '../kernel/signed-sites.ts';
import { loadedModule, offset, writable } from './stores.ts';

/** The kernel's own image. */
const KERNEL = 1;
/** The first module's. */
const MODULE = 2;
const JMP = 0xe9;

/** What weaker owners of code take (`@heki/code-authority`). */
const FLAGS = { openText: 1, patchStep: 2 } as const;

/** A race for a module: how it is asked for, and the turns that the second processor has had. */
interface ModuleRace {
  readonly module: OwnModule;
  /** Makes the request that is written already. */
  readonly ask: () => number;
  turns: number;
}

const RACES = new WeakMap<Lab, ModuleRace>();

/** While the owner makes a module of the lab's, whose pages hold what `prepare` has put there, the second processor stores to its text. */
function raceForModule(prepare: (lab: Lab, module: OwnModule) => void): Pick<LabAttack, 'run'> & {
  readonly race: RacingAttack;
} {
  return {
    run(lab) {
      const requests = codeRequests(lab);
      const module = ownModules(lab)(moduleImage('driver', { init: false }));
      // The second processor knows the page already.
      lab.second.store(module.text(MODULE_FUNCTIONS.check), 8, 0n);
      prepare(lab, module);
      RACES.set(lab, { module, ask: requests.load(module.file, module.parts), turns: 0 });
      lab.aims.code();
    },
    race: {
      work: (lab) => void RACES.get(lab)?.ask(),
      turn(lab) {
        const race = RACES.get(lab);
        // At first the file is read, and nothing looked at yet: an owner that compares would find what is stored now.
        if (race === undefined || race.turns++ === 0) return;
        lab.second.store(race.module.text(MODULE_FUNCTIONS.check), 8, PAYLOAD_QUAD);
      },
      after(lab) {
        const module = RACES.get(lab)?.module;
        if (module === undefined) return;
        askForText(lab, module);
        lab.cpu.run(module.text(MODULE_FUNCTIONS.check));
      },
    },
  };
}

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
      const module = ownModules(lab)(moduleImage('driver', { init: false }));
      const forged = [{ site: MODULE_FUNCTIONS.check, target: MODULE_FUNCTIONS.check + 0x20 }];
      const image = requests.load(module.file, module.parts, forged)();
      if (image <= 0) {
        lab.aims.register('the number of a module with sites of the attacker’s', () => 0n);
        return;
      }
      lab.aims.bytes("the module's text", module.text(MODULE_FUNCTIONS.check), 5);
      lab.request('vmcall: POKE', () => requests.authority.poke(image, [{ site: 0, state: 1 }]));
    },
  },
  {
    name: 'load-over-page-table',
    title: "have the owner of the code lay out a signed module over a page table of the kernel's",
    gains: 'the kernel maps nothing there any more',
    source: 'self-denial: STAGED asked for a frame that is a live stack or page table',
    means: ['hypercalls'],
    stoppedBy: ['sealed-code'],
    run(lab) {
      const requests = codeRequests(lab);
      const { file, parts } = ownModules(lab)(moduleImage('driver', { init: false }));
      const table = lab.cpu.findEntries(lab.places.credentials)?.at(-1)?.address;
      if (table === undefined) return lab.notExpressible('no table maps the data of the kernel');
      lab.aims.bytes('an entry that maps data of the kernel', table);
      requests.load(file, withFirstFrame(parts, 'text', lab.frameOf(table)))();
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
    source: 'KVM before 2007 told no other processor; SDM 3C 29.4.3',
    means: ['hypercalls', 'module', 'second processor'],
    stoppedBy: ['sealed-code'],
    ...raceForModule(() => {}),
  },
  {
    name: 'race-laid-out-module',
    title:
      'lay a signed module out as the kernel would, and store to it behind the look of an owner that compares',
    gains: 'a signed module, with unsigned code',
    source: 'litebox compares what VTL0 has laid out',
    means: ['hypercalls', 'module', 'second processor'],
    stoppedBy: ['sealed-code'],
    ...raceForModule(layOut),
  },
];
