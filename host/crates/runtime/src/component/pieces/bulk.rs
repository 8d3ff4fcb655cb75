//! The bulk instructions, and for each the function that does it in pieces.

use wasm_encoder::{BlockType, Function, Instruction, ValType};
use wasmparser::Operator;

/// Bytes of memory that one piece moves, which takes a few microseconds.
const BYTES: i32 = 64 << 10;

/// Elements of a table that one piece moves.
const ELEMENTS: i32 = 4 << 10;

/// A bulk instruction. Its operands are the target, then the source or the value, then the length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Bulk {
    MemoryFill { mem: u32 },
    MemoryCopy { to: u32, from: u32 },
    MemoryInit { data: u32, mem: u32 },
    TableFill { table: u32 },
    TableCopy { to: u32, from: u32 },
    TableInit { elements: u32, table: u32 },
}

/// The types of a module's memories and tables, by index.
#[derive(Debug, Default)]
pub(super) struct Spaces {
    /// The type of each memory's addresses.
    pub(super) memories: Vec<ValType>,
    /// The type of each table's indices. All elements are functions: other references need proposals that the engine
    /// doesn't offer.
    pub(super) tables: Vec<ValType>,
}

/// The types of an instruction's operands, and how it moves.
struct Operands {
    /// The type of the target.
    to: ValType,
    /// The type of the source; or of the value, which is the same for each piece.
    from: ValType,
    /// Whether the second operand is a source, and not a value.
    moves: bool,
    length: ValType,
    /// Whether source and target may overlap.
    overlaps: bool,
    /// Bytes or elements of one piece.
    piece: i32,
}

impl Bulk {
    /// The bulk instruction that `operator` is, if it's one.
    pub(super) fn of(operator: &Operator<'_>) -> Option<Self> {
        Some(match *operator {
            Operator::MemoryFill { mem } => Self::MemoryFill { mem },
            Operator::MemoryCopy { dst_mem, src_mem } => Self::MemoryCopy {
                to: dst_mem,
                from: src_mem,
            },
            Operator::MemoryInit { data_index, mem } => Self::MemoryInit {
                data: data_index,
                mem,
            },
            Operator::TableFill { table } => Self::TableFill { table },
            Operator::TableCopy {
                dst_table,
                src_table,
            } => Self::TableCopy {
                to: dst_table,
                from: src_table,
            },
            Operator::TableInit { elem_index, table } => Self::TableInit {
                elements: elem_index,
                table,
            },
            _ => return None,
        })
    }

    fn instruction(self) -> Instruction<'static> {
        match self {
            Self::MemoryFill { mem } => Instruction::MemoryFill(mem),
            Self::MemoryCopy { to, from } => Instruction::MemoryCopy {
                src_mem: from,
                dst_mem: to,
            },
            Self::MemoryInit { data, mem } => Instruction::MemoryInit {
                mem,
                data_index: data,
            },
            Self::TableFill { table } => Instruction::TableFill(table),
            Self::TableCopy { to, from } => Instruction::TableCopy {
                src_table: from,
                dst_table: to,
            },
            Self::TableInit { elements, table } => Instruction::TableInit {
                elem_index: elements,
                table,
            },
        }
    }

    /// `None` if the memory or table doesn't exist. The compiler rejects such a module.
    fn operands(self, spaces: &Spaces) -> Option<Operands> {
        let memory = |index: u32| spaces.memories.get(index as usize).copied();
        let table = |index: u32| spaces.tables.get(index as usize).copied();
        let shorter = |one, other| match (one, other) {
            (ValType::I64, ValType::I64) => ValType::I64,
            _ => ValType::I32,
        };
        Some(match self {
            Self::MemoryFill { mem } => Operands {
                to: memory(mem)?,
                from: ValType::I32,
                moves: false,
                length: memory(mem)?,
                overlaps: false,
                piece: BYTES,
            },
            Self::MemoryCopy { to, from } => Operands {
                to: memory(to)?,
                from: memory(from)?,
                moves: true,
                length: shorter(memory(to)?, memory(from)?),
                overlaps: to == from,
                piece: BYTES,
            },
            Self::MemoryInit { mem, .. } => Operands {
                to: memory(mem)?,
                from: ValType::I32,
                moves: true,
                length: ValType::I32,
                overlaps: false,
                piece: BYTES,
            },
            Self::TableFill { table: index } => Operands {
                to: table(index)?,
                from: ValType::FUNCREF,
                moves: false,
                length: table(index)?,
                overlaps: false,
                piece: ELEMENTS,
            },
            Self::TableCopy { to, from } => Operands {
                to: table(to)?,
                from: table(from)?,
                moves: true,
                length: shorter(table(to)?, table(from)?),
                overlaps: to == from,
                piece: ELEMENTS,
            },
            Self::TableInit { table: index, .. } => Operands {
                to: table(index)?,
                from: ValType::I32,
                moves: true,
                length: ValType::I32,
                overlaps: false,
                piece: ELEMENTS,
            },
        })
    }

    /// Builds the function that takes the instruction's operands and does it in pieces. Returns the types of its
    /// parameters, and its code; `None` if the memory or table doesn't exist.
    pub(super) fn in_pieces(self, spaces: &Spaces) -> Option<([ValType; 3], Function)> {
        let operands = self.operands(spaces)?;
        let parameters = [operands.to, operands.from, operands.length];
        let mut code = Code {
            function: Function::new([]),
            bulk: self,
            operands,
        };
        code.whole_if_short();
        code.whole_if_wrapping();
        code.trap_if_outside();
        code.backwards_if_overlapping();
        code.forwards();
        code.rest();
        code.emit(&Instruction::End);
        Some((parameters, code.function))
    }
}

/// The function's parameters, which are the instruction's operands.
const TO: u32 = 0;
const FROM: u32 = 1;
const LENGTH: u32 = 2;

/// The function while it's being written.
struct Code {
    function: Function,
    bulk: Bulk,
    operands: Operands,
}

impl Code {
    fn emit(&mut self, instruction: &Instruction<'_>) {
        self.function.instruction(instruction);
    }

    fn get(&mut self, parameter: u32) {
        self.emit(&Instruction::LocalGet(parameter));
    }

    fn constant(&mut self, of: ValType, value: i32) {
        self.emit(&match of {
            ValType::I64 => Instruction::I64Const(value.into()),
            _ => Instruction::I32Const(value),
        });
    }

    /// Emits `short` for 32 bits or `long` for 64, by the type that the instruction works on.
    fn either(&mut self, of: ValType, short: &Instruction<'_>, long: &Instruction<'_>) {
        self.emit(if of == ValType::I64 { long } else { short });
    }

    /// Pushes the length, as an address of this type.
    fn length_as(&mut self, address: ValType) {
        self.get(LENGTH);
        if address == ValType::I64 && self.operands.length == ValType::I32 {
            self.emit(&Instruction::I64ExtendI32U);
        }
    }

    /// Pushes the end of a range.
    fn end_of(&mut self, parameter: u32, address: ValType) {
        self.get(parameter);
        self.length_as(address);
        self.either(address, &Instruction::I32Add, &Instruction::I64Add);
    }

    /// Does all that's left with one instruction.
    fn rest(&mut self) {
        self.get(TO);
        self.get(FROM);
        self.get(LENGTH);
        let instruction = self.bulk.instruction();
        self.emit(&instruction);
    }

    fn if_so_rest(&mut self) {
        self.emit(&Instruction::If(BlockType::Empty));
        self.rest();
        self.emit(&Instruction::Return);
        self.emit(&Instruction::End);
    }

    fn is_longer_than_a_piece(&mut self) {
        let (length, piece) = (self.operands.length, self.operands.piece);
        self.get(LENGTH);
        self.constant(length, piece);
        self.either(length, &Instruction::I32GtU, &Instruction::I64GtU);
    }

    fn whole_if_short(&mut self) {
        self.is_longer_than_a_piece();
        self.emit(&Instruction::I32Eqz);
        self.if_so_rest();
    }

    /// The instruction itself traps on a range that ends past the last address, because such a range is outside.
    fn whole_if_wrapping(&mut self) {
        let ranges = [(TO, self.operands.to), (FROM, self.operands.from)];
        let count = if self.operands.moves { 2 } else { 1 };
        for (parameter, address) in ranges.into_iter().take(count) {
            self.end_of(parameter, address);
            self.get(parameter);
            self.either(address, &Instruction::I32LtU, &Instruction::I64LtU);
            self.if_so_rest();
        }
    }

    /// Moves nothing to and from the ends of the ranges, which traps if the ranges are outside.
    fn trap_if_outside(&mut self) {
        self.end_of(TO, self.operands.to);
        if self.operands.moves {
            self.end_of(FROM, self.operands.from);
        } else {
            self.get(FROM);
        }
        self.constant(self.operands.length, 0);
        let instruction = self.bulk.instruction();
        self.emit(&instruction);
    }

    fn subtract_piece(&mut self) {
        let (length, piece) = (self.operands.length, self.operands.piece);
        self.get(LENGTH);
        self.constant(length, piece);
        self.either(length, &Instruction::I32Sub, &Instruction::I64Sub);
        self.emit(&Instruction::LocalSet(LENGTH));
    }

    /// Goes from the end backwards, if the source lies below the target in the same memory or table.
    fn backwards_if_overlapping(&mut self) {
        if !self.operands.overlaps {
            return;
        }
        let (address, length) = (self.operands.to, self.operands.length);
        self.get(FROM);
        self.get(TO);
        self.either(address, &Instruction::I32LtU, &Instruction::I64LtU);
        self.emit(&Instruction::If(BlockType::Empty));
        self.emit(&Instruction::Loop(BlockType::Empty));
        self.subtract_piece();
        self.end_of(TO, address);
        self.end_of(FROM, address);
        self.constant(length, self.operands.piece);
        let instruction = self.bulk.instruction();
        self.emit(&instruction);
        self.is_longer_than_a_piece();
        self.emit(&Instruction::BrIf(0));
        self.emit(&Instruction::End);
        self.rest();
        self.emit(&Instruction::Return);
        self.emit(&Instruction::End);
    }

    fn forwards(&mut self) {
        let piece = self.operands.piece;
        self.emit(&Instruction::Loop(BlockType::Empty));
        self.get(TO);
        self.get(FROM);
        self.constant(self.operands.length, piece);
        let instruction = self.bulk.instruction();
        self.emit(&instruction);
        self.advance(TO, self.operands.to);
        if self.operands.moves {
            self.advance(FROM, self.operands.from);
        }
        self.subtract_piece();
        self.is_longer_than_a_piece();
        self.emit(&Instruction::BrIf(0));
        self.emit(&Instruction::End);
    }

    fn advance(&mut self, parameter: u32, address: ValType) {
        self.get(parameter);
        self.constant(address, self.operands.piece);
        self.either(address, &Instruction::I32Add, &Instruction::I64Add);
        self.emit(&Instruction::LocalSet(parameter));
    }
}
