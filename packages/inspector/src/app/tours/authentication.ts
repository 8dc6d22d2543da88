import { atAttack, type Tour } from '../tour.ts';

const PAIR = ['hardened', 'hardened-authenticated'] as const;

export const authenticationTour: Tour = {
  id: 'authentication',
  title: 'Why asking works, and authentication stops it',
  about: 'Who may ask for rights can have them; what changes when the owner of the code decides.',
  steps: [
    atAttack(
      'load-module',
      PAIR,
      'a function of the module ran',
      'A kernel that lives loads modules: new code, in pages that were data. It asks the hypervisor to make them executable, and both machines do.',
    ),
    atAttack(
      'execute-data',
      ['no-heki', 'hardened'],
      'EPT forbids it',
      'Code that an attacker writes to data and executes without asking is stopped.',
    ),
    atAttack(
      'ask-for-execution',
      PAIR,
      'They part at step 24.',
      'But he runs in the kernel, and can make the same request. He writes his code to a page, edits its entry, makes a list, and asks.',
    ),
    atAttack(
      'ask-for-execution',
      PAIR,
      'ran up to 0xffffc9000000f005 with CPL 0',
      'The hypervisor of the series cannot tell his request from a module’s: it grants execution, and his code runs.',
    ),
    atAttack(
      'ask-for-execution',
      PAIR,
      'EPT forbids it: violation 0x5dc',
      'Where the code has an owner, there is no such request: the page stays not executable, because no signed file has what is in it.',
    ),
    atAttack(
      'call-set-memory-x',
      PAIR,
      'set_memory_rox',
      'He need not even make the request himself: a function of the kernel makes it, if it is called.',
    ),
    atAttack(
      'call-set-memory-x',
      PAIR,
      'Heki refused what pages gained',
      'With an owner of the code, the function is refused, and says so.',
    ),
    atAttack(
      'unsigned-module',
      PAIR,
      'They part at step 1.',
      'Or he loads a module of his own, with the kernel’s checks switched off.',
    ),
    atAttack(
      'unsigned-module',
      PAIR,
      'the owner of the code refuses module rootkit: -129',
      'The owner makes the module’s pages from the file itself, after its signature: -129 is EKEYREJECTED.',
    ),
    atAttack(
      'trace-kernel',
      PAIR,
      'Heki refused to open the text',
      'What is protected for good is no longer patched, either: tracing a function of the kernel fails under plain immutability.',
    ),
    atAttack(
      'trace-kernel',
      PAIR,
      'the first instruction of the function',
      'The owner knows the sites at which the kernel patches its own code, and what may stand there. He patches them, on request.',
    ),
    atAttack(
      'ask-for-write-to-text',
      ['hardened', 'hardened-authenticated'],
      'EPT forbids it',
      'What neither gives is the text itself, whoever asks.',
    ),
  ],
};
