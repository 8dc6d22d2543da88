import type { Page } from './page.ts';
import { printedInColour } from './printed.ts';
import { terminalPicture } from './terminal-picture.ts';

/** The picture on the project's front page: how `heki protect` begins, and how it ends. */
export const readmePicture: Page = {
  file: 'docs/protect.svg',
  parts: {
    'heki protect': async () => {
      const lines = (await printedInColour(['protect'])).trimEnd().split('\n');
      const rights = lines.findIndex((line) => line.includes('What the hypervisor enforces'));
      return terminalPicture('heki protect', [
        '$ ./heki protect',
        ...lines.slice(0, 3),
        '  …',
        '',
        ...lines.slice(rights),
      ]);
    },
  },
};
