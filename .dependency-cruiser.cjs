// The layers of CONTRIBUTING.md: a folder imports from itself and from earlier rows, never from later ones.
const rows = [
  ['errors', 'clock', 'known', 'json', 'logger', 'text', 'deadline'],
  ['engine'],
  ['pci', 'ccw'],
  ['qmp'],
  ['host'],
  ['vm'],
  ['boot'],
  ['plan'],
  ['hotplug'],
  ['doctor'],
  ['transcript'],
  ['simulator'],
  ['index', 'testing'],
  ['daemon'],
  ['cli'],
];

const place = (names) => `^src/(${names.join('|')})(/|\\.ts$)`;

module.exports = {
  forbidden: [
    {
      name: 'no-cycles',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    ...rows.slice(0, -1).map((row, index) => ({
      name: `layer-${row[0]}`,
      severity: 'error',
      comment: `src/${row.join(', src/')} must not import from a later layer`,
      from: { path: place(row) },
      to: { path: place(rows.slice(index + 1).flat()) },
    })),
    {
      name: 'known-room',
      severity: 'error',
      comment: 'every source file lives in a layer',
      from: { path: '^src/', pathNot: place(rows.flat()) },
      to: {},
    },
    {
      name: 'no-undeclared-package',
      severity: 'error',
      from: { path: '^src/' },
      to: { dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown', 'unknown', 'undetermined'] },
    },
  ],
  options: {
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    doNotFollow: { path: 'node_modules' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'types', 'node'],
    },
  },
};
