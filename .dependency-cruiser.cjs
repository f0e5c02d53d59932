// The rooms from the ground up: a file imports only from its own room or from rooms below it.
const rooms = [
  "errors",
  "graph",
  "program",
  "backend",
  "parameters",
  "cells",
  "layers",
  "train",
  "data",
  "models",
  "explain",
  "check",
  "files",
  "cli",
];

const pathOf = (room) => `^src/${room}(/|\\.ts$)`;

const upward = rooms.slice(0, -1).map((room, level) => ({
  name: `${room}-looks-up`,
  comment: `${room} may import only from: ${rooms.slice(0, level + 1).join(", ")}.`,
  severity: "error",
  from: { path: pathOf(room) },
  to: { path: [...rooms.slice(level + 1).map(pathOf), "^src/(index|node)\\.ts$"] },
}));

/** @type {import("dependency-cruiser").IConfiguration} */
module.exports = {
  forbidden: [
    {
      name: "no-cycles",
      comment: "A cycle has no bottom: two files that need each other are one file, or a third below both.",
      severity: "error",
      from: { path: "^src" },
      to: { circular: true },
    },
    ...upward,
    {
      name: "known-rooms",
      comment: "A new room takes its place in the list of this file.",
      severity: "error",
      from: {},
      to: { path: "^src", pathNot: [...rooms.map(pathOf), "^src/(index|node)\\.ts$"] },
    },
    {
      name: "backends-stand-alone",
      comment: "A backend knows the contract, never another backend.",
      severity: "error",
      from: { path: "^src/backend/([^/]+)/" },
      to: { path: "^src/backend/[^/]+/", pathNot: "^src/backend/$1/" },
    },
    {
      name: "node-built-ins-at-the-edge",
      comment: "Only src/node.ts, the command and files named …-node.ts may use Node's built-in modules.",
      severity: "error",
      from: { path: "^src", pathNot: ["^src/node\\.ts$", "^src/cli/", "-node\\.ts$"] },
      to: { dependencyTypes: ["core"] },
    },
    {
      name: "core-runs-in-a-browser",
      comment: "Nothing that `throughtime` reaches may need Node.",
      severity: "error",
      from: { path: "^src/index\\.ts$" },
      to: { reachable: true, path: ["^src/node\\.ts$", "^src/cli/", "-node\\.ts$"] },
    },
    {
      name: "core-needs-only-seedrandom",
      comment: "The core has one dependency; the others belong to the command and to files.",
      severity: "error",
      from: { path: "^src", pathNot: ["^src/node\\.ts$", "^src/cli/", "-node\\.ts$", "^src/data/series/csv\\.ts$"] },
      to: { path: "node_modules/", pathNot: "node_modules/(@types/)?seedrandom/" },
    },
    {
      name: "no-development-dependencies",
      comment: "What the package imports must be installed with it.",
      severity: "error",
      from: { path: "^src" },
      to: { dependencyTypes: ["npm-dev", "npm-no-pkg", "npm-unknown"], dependencyTypesNot: ["type-only"] },
    },
    {
      name: "resolvable",
      severity: "error",
      from: { path: "^src" },
      to: { couldNotResolve: true },
    },
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    tsConfig: { fileName: "tsconfig.json" },
    tsPreCompilationDeps: true,
    enhancedResolveOptions: {
      exportsFields: ["exports"],
      conditionNames: ["types", "import", "node", "default"],
    },
  },
};
