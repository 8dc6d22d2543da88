import type { LinkedModule } from '@heki/machine';
import type { VirtualAddress } from '@heki/physical-memory';
import type { LabAttack } from '../attack/lab-attack.ts';
import { codeRequests } from '../attacker/code-requests.ts';
import type { Lab } from '../attacker/lab.ts';
import { askForText, firstFrame, layOut, ownModules, withFirstFrame } from '../attacker/own-module.ts';
import { CHECK, MODULE_FUNCTIONS, moduleImage, NOP5, returning } from '../kernel/functions.ts';
import { writable } from './stores.ts';

/** Where the modules here have a function that calls another: a CALL, and a RET behind it. */
const CALLER = 0xc0;
const CALL = [0xe8, 0, 0, 0, 0, 0xc3];
const LOCK_SITE = 0x100;
const LOCK = 0xf0;
/** Of a module whose text has one place to trace, the number of the next site. */
const NEXT_SITE = 1;

/** A module of which everything is signed, with other bytes in its text. */
function linkedModule(
  name: string,
  { links, sites, init = false }: Pick<LinkedModule, 'links' | 'sites'> & { readonly init?: boolean },
  ...code: readonly { readonly at: number; readonly bytes: ArrayLike<number> }[]
): LinkedModule {
  const image = moduleImage(name, { init, ...(sites && { sites }) });
  for (const { at, bytes } of code) image.memory.text?.set(bytes, at);
  return { ...image, ...(links && { links }) };
}

/** One that calls what is exported under a name. */
const calling = (name: string): LinkedModule =>
  linkedModule('driver', { links: { calls: [{ offset: CALLER, name }] } }, { at: CALLER, bytes: CALL });

/** One with init code that has a site, at the place where other modules have a function. */
function withInitSite(): LinkedModule {
  const image = linkedModule('driver', { init: true, links: { initLabels: [MODULE_FUNCTIONS.check] } });
  image.memory.init_text?.set(NOP5, MODULE_FUNCTIONS.check);
  return image;
}

/** Loads a module, gives its init code back, and loads another, the given part of which begins in the frame that was given back. */
function reuseInit(lab: Lab, part: 'text' | 'rodata') {
  const { authority, load } = codeRequests(lab);
  const own = ownModules(lab);
  const first = own(withInitSite());
  const other = own(linkedModule('other', {}));
  const frame = firstFrame(lab, first, 'init_text');
  const id = load(first.file, first.parts)();
  lab.request('vmcall: INIT_DONE', () => authority.initDone(id));
  load(other.file, withFirstFrame(other.parts, part, frame))();
  return { authority, id, frame };
}

/** What whoever runs in the kernel makes of signed modules: their order, their names, what they leave behind. */
export const SEALED_MODULES: readonly LabAttack[] = [
  {
    name: 'poke-released-init',
    title: 'have a site of init code patched that was given back, and whose page holds another module by now',
    gains: 'an unsigned instruction in a signed module',
    source: 'litebox, free_guest_module_init removes no patch (B-L2)',
    means: ['hypercalls', 'module'],
    stoppedBy: ['sealed-code'],
    run(lab) {
      const { authority, id, frame } = reuseInit(lab, 'text');
      lab.aims.bytes("another module's text", lab.direct(frame, MODULE_FUNCTIONS.check), 5);
      lab.request('vmcall: POKE', () => authority.poke(id, [{ site: NEXT_SITE, state: 1 }]));
    },
  },
  {
    name: 'give-init-back-twice',
    title: 'give the init memory of a module back a second time, when another module has its constants there',
    gains: 'constants of a signed module are the attacker’s',
    source: 'litebox, free_guest_module_init keeps no state of its token',
    means: ['hypercalls', 'module'],
    stoppedBy: ['sealed-code'],
    run(lab) {
      const { authority, id, frame } = reuseInit(lab, 'rodata');
      const constants = lab.direct(frame, 0x10) as VirtualAddress;
      lab.aims.bytes('constants of another module', constants);
      lab.request('vmcall: INIT_DONE, again', () => authority.initDone(id));
      lab.edit(constants, writable);
      lab.plant(constants);
    },
  },
  {
    name: 'retire-module-in-use',
    title: 'have a module unloaded that another one calls, and another signed one loaded in its place',
    gains: 'a signed module calls what it was not linked to',
    source: 'litebox, unload_guest_module: in VTL1 no module is in use',
    means: ['hypercalls', 'module'],
    stoppedBy: ['sealed-code'],
    run(lab) {
      const { authority, load } = codeRequests(lab);
      const own = ownModules(lab);
      const { check } = MODULE_FUNCTIONS;
      const called = own(linkedModule('called', { links: { exports: { driver_check: check } } }));
      const caller = own(calling('driver_check'));
      const other = linkedModule('other', {}, { at: check, bytes: returning(0) });
      const id = load(called.file, called.parts)();
      load(caller.file, caller.parts)();
      for (const module of [called, caller]) askForText(lab, module);
      lab.aims.result('a function of a module that stays', caller.text(CALLER));
      lab.request('vmcall: RETIRE', () => authority.retire(id));
      load(lab.moduleFile(other), called.parts)();
    },
  },
  {
    name: 'change-relocated-call',
    title: "lay a signed module out with a call of the attacker's choice where a relocation decides",
    gains: 'every call of a signed module goes where the attacker wants',
    source: 'litebox: section_from_elf[reloc] := section_in_memory[reloc] (B-L3)',
    means: ['hypercalls', 'module'],
    stoppedBy: ['sealed-code'],
    run(lab) {
      const { load } = codeRequests(lab);
      const own = ownModules(lab);
      const { grant } = lab.places;
      const module = own(calling(CHECK));
      lab.aims.reached('commit_creds, called by a signed module', grant);
      layOut(lab, module);
      const distance = BigInt.asUintN(32, grant - module.text(CALLER + 5));
      // CALL commit_creds; RET; INT3; INT3.
      const code = 0xcccc_c300_0000_00e8n + (distance << 8n);
      lab.cpu.store(lab.direct(firstFrame(lab, module, 'text'), CALLER), 8, code);
      load(module.file, module.parts)();
      askForText(lab, module);
      lab.cpu.run(module.text(CALLER));
    },
  },
  {
    name: 'shadow-export',
    title: 'load a signed module that exports the name of a function of the kernel, then one that calls it',
    gains: 'a signed module asks a function of the attacker’s choice in the place of security_capable',
    source: 'litebox leaves the addresses of symbols to VTL0; Linux, verify_exported_symbols',
    means: ['hypercalls', 'module'],
    stoppedBy: ['sealed-code'],
    run(lab) {
      const { load } = codeRequests(lab);
      const own = ownModules(lab);
      const { check } = MODULE_FUNCTIONS;
      const shadow = own(
        linkedModule(
          'shadow',
          { links: { exports: { [CHECK]: check } } },
          { at: check, bytes: returning(0) },
        ),
      );
      const module = own(calling(CHECK));
      lab.aims.reached('the function of another module', shadow.text(check));
      load(shadow.file, shadow.parts)();
      load(module.file, module.parts)();
      for (const each of [shadow, module]) askForText(lab, each);
      lab.cpu.run(module.text(CALLER));
    },
  },
  {
    name: 'take-lock-away',
    title: 'have LOCK become DS while two processors run',
    gains: 'every spinlock of a module is none',
    source: 'Linux, alternatives_smp_unlock: 8,652 places in the text of Debian’s 6.1',
    means: ['hypercalls', 'module'],
    stoppedBy: ['sealed-code'],
    run(lab) {
      const { authority, load } = codeRequests(lab);
      const own = ownModules(lab);
      const sites = { lockPrefixes: [LOCK_SITE] };
      const module = own(linkedModule('driver', { sites }, { at: LOCK_SITE, bytes: [LOCK] }));
      const id = load(module.file, module.parts)();
      lab.aims.bytes('the prefix of an instruction', module.text(LOCK_SITE), 1);
      lab.request('vmcall: POKE', () => authority.poke(id, [{ site: 0, state: 1 }]));
    },
  },
];
