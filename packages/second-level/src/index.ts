export type { LeafChange, SecondLevelEdit } from './edit.ts';
export { createSecondLevelEditor, type SecondLevelEditor, type SecondLevelLeaf } from './editor.ts';
export { SecondLevelEditorError, type SecondLevelFormat, type TableFrames } from './format.ts';
export {
  REFUSED,
  type SecondLevel,
  SecondLevelAccess,
  SecondLevelRights,
  type SecondLevelStep,
  type SecondLevelWalk,
} from './second-level.ts';
