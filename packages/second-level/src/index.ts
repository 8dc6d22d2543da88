export {
  createSecondLevelEditor,
  type LeafChange,
  type SecondLevelEdit,
  type SecondLevelEditor,
  type SecondLevelLeaf,
} from './editor.ts';
export { SecondLevelEditorError, type SecondLevelFormat, type TableFrames } from './format.ts';
export { REFUSED, type SecondLevel, SecondLevelAccess, SecondLevelRights } from './second-level.ts';
