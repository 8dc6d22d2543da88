import { type Page, textBlock } from './page.ts';
import { printed } from './printed.ts';

const protect = await printed(['protect']);

/** The project's front page. */
export const readmePage: Page = {
  file: 'README.md',
  parts: { 'heki protect': () => textBlock(protect.trimEnd().split('\n')) },
};
