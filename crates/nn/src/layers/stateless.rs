//! Layers without parameters.

/// Implements `Forward` and `Module`, for every element type, for a type without parameters.
macro_rules! stateless {
    ($Name:ident, |$layer:pat_param, $x:ident| $value:expr) => {
        impl<T: adamant_tensor::Float> $crate::Forward<T> for $Name {
            #[track_caller]
            fn forward(&self, $x: &adamant_tensor::Tensor<T>) -> adamant_tensor::Tensor<T> {
                let $layer = self;
                $crate::observe(self, $value)
            }
        }

        impl<T: adamant_tensor::Float> $crate::Module<T> for $Name {
            fn visit(
                &self,
                path: &mut $crate::Path,
                _visit: &mut dyn FnMut(&str, $crate::Leaf<'_, T>),
            ) {
                path.enter(self);
            }
            fn visit_mut(&mut self, _visit: &mut dyn FnMut($crate::LeafMut<'_, T>)) {}
        }
    };
}
pub(crate) use stateless;
