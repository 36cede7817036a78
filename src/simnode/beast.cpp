// Beast's non-template half for this program (BOOST_BEAST_SEPARATE_COMPILATION): it does not link the http room.
#include <boost/beast/src.hpp>
